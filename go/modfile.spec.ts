import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseModFile, parseWorkFile } from './modfile';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'slim-go-modfile-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const mod = `// Deprecated: not really
module "example.com/acme" // the path

go 1.24.1
toolchain go1.25.3

require example.com/a v1.2.3
require (
	example.com/b/v2 v2.0.0-20200101000000-abcdefabcdef // indirect
	"example.com/c" v0.1.0
	// example.com/no v1.0.0
)
exclude (
	example.com/a v1.0.0
)
exclude ()
replace example.com/a => ../a
replace (
	example.com/b/v2 v2.0.0 => example.com/fork v1.0.0
	example.com/c => "./with space"
)
retract [v1.0.0, v1.1.0] // oops
tool example.com/a/cmd/tool
godebug default=go1.21
ignore (
	./web
	generated
)
`;

interface GoModJson {
  readonly Module: { readonly Path: string };
  readonly Go: string;
  readonly Toolchain?: string;
  readonly Require: readonly { readonly Path: string; readonly Version: string }[];
  readonly Replace: readonly {
    readonly Old: { readonly Path: string; readonly Version?: string };
    readonly New: { readonly Path: string; readonly Version?: string };
  }[];
  readonly Ignore?: readonly { readonly Path: string }[];
}

it.each([
  ['LF', mod],
  ['CRLF', mod.replaceAll('\n', '\r\n')],
])('reads go.mod as "go mod edit -json" does, with %s', (_, text) => {
  writeFileSync(join(folder, 'go.mod'), text);
  const json = JSON.parse(execFileSync('go', ['mod', 'edit', '-json', join(folder, 'go.mod')]).toString()) as GoModJson;
  const file = parseModFile(text, 'go.mod');
  expect(file.module).toBe(json.Module.Path);
  expect(file.go?.version).toBe(json.Go);
  expect(file.toolchain?.version).toBe(json.Toolchain);
  expect(file.requires.map(({ path, version }) => [path, version])).toEqual(
    json.Require.map(({ Path, Version }) => [Path, Version]),
  );
  expect(file.replaces.map((line) => [line.oldPath, line.oldVersion, line.newPath, line.newVersion])).toEqual(
    json.Replace.map(({ Old, New }) => [Old.Path, Old.Version, New.Path, New.Version]),
  );
  expect(file.ignores).toEqual((json.Ignore ?? []).map(({ Path }) => Path));
  expect(file.go?.line).toBe(4);
});

it('reads go.work as "go work edit -json" does', () => {
  const text = 'go 1.24\n\nuse ./apps/hello // x\nuse (\n\t.\n\t"./with space"\n)\nreplace example.com/a => ./a\n';
  writeFileSync(join(folder, 'go.work'), text);
  const json = JSON.parse(execFileSync('go', ['work', 'edit', '-json', join(folder, 'go.work')]).toString()) as {
    Go: string;
    Use: { DiskPath: string }[];
  };
  const file = parseWorkFile(text, 'go.work');
  expect(file.go?.version).toBe(json.Go);
  expect(file.uses).toEqual(json.Use.map(({ DiskPath }) => DiskPath));
  expect(file.replaces).toEqual([{ oldPath: 'example.com/a', newPath: './a', line: 8 }]);
});

it.each([
  ['go 1.20\n', /^m\/go\.mod: it has no "module" line/],
  ['module a\nmodule b\n', /^m\/go\.mod:2: there is a second "module"/],
  ['module a\n\nrequire (\n\tb v1.0.0\n', /the "require \(" block is not closed/],
  ['module a\nreqiure b v1.0.0\n', /^m\/go\.mod:2: "reqiure" is not a directive/],
  ['module a\nreplace b c\n', /^m\/go\.mod:2: "replace" is written/],
  ['module "a\n', /^m\/go\.mod:1: .* is not closed/],
  ['module `a`\n', /^m\/go\.mod:1: `a` holds a quote/],
  ['module a /* b */\n', /^m\/go\.mod:1: module files have no/],
])('refuses %j, which the go command refuses too', (text, message) => {
  writeFileSync(join(folder, 'go.mod'), text);
  expect(() => parseModFile(text, 'm/go.mod')).toThrow(message);
  expect(() => execFileSync('go', ['list', '-m'], { cwd: folder, stdio: 'pipe' })).toThrow();
});

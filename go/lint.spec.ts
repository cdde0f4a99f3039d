import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { SlimGoError } from '../errors';
import { goLint, type ResolvedLint } from './lint';
import { lintConfig } from './lint-config';

const root = mkdtempSync(join(tmpdir(), 'slim-go-lint-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let count = 0;

function module(files: Readonly<Record<string, string>>): string {
  const dir = join(root, `m${count++}`);
  for (const [name, text] of Object.entries({ 'go.mod': 'module ex.com/m\n\ngo 1.24\n', ...files })) {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), text);
  }
  return dir;
}

async function lint(moduleDir: string, over: Partial<ResolvedLint> = {}, processEnv = process.env) {
  let output = '';
  const one = {
    moduleDir,
    packages: ['./...'],
    linter: 'vet' as const,
    config: undefined,
    tags: [],
    args: [],
    ...over,
  };
  const onOutput = (chunk: Buffer) => {
    output += chunk;
  };
  const failure = await failureOf(goLint(one, { onOutput, processEnv }));
  return { failure, output };
}

const fine = 'package m\n\nfunc F() {}\n';
const wrong = 'package m\n\nimport "fmt"\n\nfunc  F() { fmt.Printf("%d", "x") }\n';

it('shows what go vet and gofmt find, both at once', async () => {
  const dir = module({ 'm.go': wrong });
  const { failure, output } = await lint(dir);
  expect(output).toContain('m.go:5:25: fmt.Printf format %d has arg "x" of wrong type string');
  expect(output).toContain('-func  F()');
  expect(failure?.message).toBe('go vet failed (exit status 1).\n1 file is not formatted as gofmt does it: m.go.');
  expect(readFileSync(join(dir, 'm.go'), 'utf8')).toBe(wrong);
});

it('looks with gofmt at what the go command does not compile here', async () => {
  expect((await lint(module({ 'm_plan9.go': fine }))).failure).toBeUndefined();
  const { failure } = await lint(module({ 'm_plan9.go': fine.replace('func F', 'func  F') }));
  expect(failure?.message).toBe('1 file is not formatted as gofmt does it: m_plan9.go.');
});

it('passes build tags on', async () => {
  const dir = module({
    'm.go': fine,
    'tagged.go': `//go:build extra\n\n${wrong.replaceAll('F()', 'G()')}`.replace('func  ', 'func '),
  });
  expect((await lint(dir)).failure).toBeUndefined();
  expect((await lint(dir, { tags: ['extra'] })).failure?.message).toBe('go vet failed (exit status 1).');
});

it('asks for go mod tidy where the compiler would', async () => {
  const dir = module({ 'm.go': 'package m\n\nimport _ "example.com/none"\n' });
  const { failure, output } = await lint(dir);
  expect(output).toContain('no required module provides package example.com/none');
  expect(failure?.hint).toBe(`Run \`go mod tidy\` in ${dir}.`);
});

describe('the configured linter', () => {
  const other = { linter: 'staticcheck' } as const;
  const tool =
    'package main\n\nimport (\n\t"fmt"\n\t"os"\n)\n\nfunc main() {\n\tfmt.Println("the tool of go.mod:", os.Args[1:])\n\tos.Exit(7)\n}\n';
  const withTool = {
    'go.mod': 'module ex.com/m\n\ngo 1.24\n\ntool ex.com/m/cmd/staticcheck\n',
    'cmd/staticcheck/main.go': tool,
    'm.go': fine,
  };

  it('is nothing else where it is not installed', async () => {
    const PATH = join(execFileSync('go', ['env', 'GOROOT'], { encoding: 'utf8' }).trim(), 'bin');
    const dir = module({ 'm.go': fine, '.golangci.yml': 'version: "2"\n' });
    const config = join(dir, '.golangci.yml');
    const { failure, output } = await lint(dir, { linter: 'golangci-lint', config }, { ...process.env, PATH });
    expect(output).toBe('');
    expect(failure).toMatchObject({
      code: 'TOOL_NOT_FOUND',
      message: 'golangci-lint is not installed: it is no tool of go.mod and not on PATH. .golangci.yml asks for it.',
      hint: expect.stringMatching(/go get -tool \S+@v2[\s\S]*go install \S+@v2/),
    });
  });

  it('is the one that go.mod names, in a go.work too', async () => {
    const dir = module(withTool);
    const { failure, output } = await lint(dir, { ...other, packages: ['./cmd/...'], args: ['-show-ignored'] });
    expect(output).toContain('the tool of go.mod: [-show-ignored ./cmd/...]');
    expect(failure?.message).toBe('staticcheck failed (exit status 7).');
    const work = module({ 'm.go': fine, 'go.work': 'go 1.24\n\nuse (\n\t.\n\t./tools\n)\n' });
    for (const [name, text] of Object.entries(withTool)) {
      mkdirSync(dirname(join(work, 'tools', name)), { recursive: true });
      writeFileSync(join(work, 'tools', name), text.replaceAll('ex.com/m', 'ex.com/tools'));
    }
    expect((await lint(work, other)).output).toContain('the tool of go.mod: [./...]');
  });

  it.each(['a folder', 'a link to nothing'])('is not run without its configuration, which is %s', async (what) => {
    const dir = module(withTool);
    const file = join(dir, 'staticcheck.conf');
    if (what === 'a folder') mkdirSync(file);
    else symlinkSync(join(root, 'nowhere'), file);
    const config = lintConfig('staticcheck', dir, root);
    expect(config).toBe(file);
    const { failure, output } = await lint(dir, { ...other, config });
    expect(failure?.message).toMatch(/staticcheck\.conf can't be read \((EISDIR|ENOENT)\)\.$/);
    expect(output).toBe('');
  });
});

it('finds the nearest configuration up to the root, and none above', () => {
  const dir = module({
    '.golangci.toml': '',
    'apps/.golangci.json': '',
    'apps/.golangci.yaml': '',
    'apps/hello/x.go': '',
  });
  expect(lintConfig('golangci-lint', join(dir, 'apps', 'hello'), dir)).toBe(join(dir, 'apps', '.golangci.yaml'));
  expect(lintConfig('golangci-lint', join(dir, 'libs'), dir)).toBe(join(dir, '.golangci.toml'));
  expect(lintConfig('golangci-lint', join(dir, 'apps', 'hello'), join(dir, 'apps', 'hello'))).toBeUndefined();
  expect(lintConfig('staticcheck', join(dir, 'apps'), dir)).toBeUndefined();
});

function failureOf(work: Promise<void>): Promise<SlimGoError | undefined> {
  return work.then(
    () => undefined,
    (error: SlimGoError) => error,
  );
}

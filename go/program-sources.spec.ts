import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, sep } from 'node:path';
import { hostPlatform } from '../platform';
import { ProgramSources } from './program-sources';

const root = realpathSync(mkdtempSync(join(tmpdir(), 'slim-go-sources-')));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let count = 0;

function repository(files: Readonly<Record<string, string>>) {
  const dir = join(root, `r${count++}`);
  const write = (name: string, text: string): void => {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), text);
  };
  for (const [name, text] of Object.entries(files)) write(name, text);
  return { dir, write };
}

const sourcesOf = (dir: string, main: string, tags: readonly string[] = []) =>
  new ProgramSources({ root: dir, main, platform: hostPlatform(), cgo: false, tags });

/** What the go command compiles and embeds of the repository's own files. */
function listed(dir: string, main: string, tags = ''): string[] {
  const { stdout, stderr } = spawnSync('go', ['list', '-deps', '-json', `-tags=${tags}`, '.'], {
    cwd: join(dir, main),
    env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '' },
    encoding: 'utf8',
  });
  if (stdout === '') throw new Error(stderr);
  const packages = JSON.parse(`[${stdout.replace(/^\}\n\{/gm, '},{')}]`) as Record<string, unknown>[];
  return packages
    .filter(({ Standard }) => !Standard)
    .flatMap((found) =>
      ['GoFiles', 'SFiles', 'HFiles', 'EmbedFiles'].flatMap((kind) =>
        ((found[kind] as string[]) ?? []).map((name) => relative(dir, join(found.Dir as string, name))),
      ),
    )
    .map((path) => path.split(sep).join('/'))
    .sort();
}

const compiled = (paths: Iterable<string>) =>
  [...paths].filter((path) => !/(^|\/)(go\.(mod|sum|work)|modules\.txt)$/.test(path)).sort();
const other = process.platform === 'win32' ? 'linux' : 'windows';

const program = {
  'go.mod': 'module ex.com/acme\n\ngo 1.24\n',
  'apps/api/main.go':
    'package main\n\nimport (\n\t_ "embed"\n\t"fmt"\n\n\t"ex.com/acme/libs/greet"\n)\n\n//go:embed page.html\nvar page string\n\nfunc main() { fmt.Println(greet.Text, page) }\n',
  'apps/api/page.html': 'page',
  'apps/api/main_test.go': 'package main\n\nimport _ "ex.com/acme/libs/fake"\n',
  'apps/api/README.md': 'about',
  'libs/greet/greet.go':
    'package greet\n\nimport (\n\t"embed"\n\n\t"ex.com/acme/libs/internal/deep/deeper"\n)\n\n//go:embed static all:hidden [ab]?/*.txt\nvar Files embed.FS\n\nvar Text = deeper.Text\n',
  [`libs/greet/greet_${other}.go`]: 'package greet\n\nimport _ "ex.com/acme/libs/fake"\n',
  'libs/greet/tool.go': '//go:build ignore\n\npackage main\n',
  'libs/greet/dev.go': '//go:build dev\n\npackage greet\n\nimport _ "ex.com/acme/libs/devonly"\n',
  'libs/greet/static/a.css': 'a',
  'libs/greet/static/.b': 'hidden',
  'libs/greet/static/_c/d': 'hidden',
  'libs/greet/static/sub/e_test.go': 'package e\n',
  'libs/greet/hidden/.f': 'f',
  'libs/greet/hidden/_g/h': 'h',
  'libs/greet/a1/x.txt': 'x',
  'libs/greet/c1/x.txt': 'x',
  'libs/internal/deep/deeper/deeper.go': 'package deeper\n\nfunc asm() int\n\nvar Text = asm()\n',
  'libs/internal/deep/deeper/asm_amd64.s':
    '#include "textflag.h"\nTEXT ·asm(SB),NOSPLIT,$0-8\n\tMOVQ $1, ret+0(FP)\n\tRET\n',
  'libs/internal/deep/deeper/asm_arm64.s':
    '#include "textflag.h"\nTEXT ·asm(SB),NOSPLIT,$0-8\n\tMOVD $1, R0\n\tMOVD R0, ret+0(FP)\n\tRET\n',
  'libs/fake/fake.go': 'package fake\n',
  'libs/devonly/devonly.go': 'package devonly\n',
};

describe('what a program is made of', () => {
  it('is what the go command compiles and embeds, and the files that say so', () => {
    const { dir } = repository(program);
    const { files } = sourcesOf(dir, 'apps/api').read();
    expect(compiled(files.keys())).toEqual(listed(dir, 'apps/api'));
    expect([...files.keys()].filter((path) => path.includes('hidden') || path.includes('static'))).toHaveLength(4);
    expect(files.has('go.mod')).toBe(true);
    const dev = sourcesOf(dir, 'apps/api', ['dev']).read();
    expect(compiled(dev.files.keys())).toEqual(listed(dir, 'apps/api', 'dev'));
    expect(dev.files.has('libs/devonly/devonly.go')).toBe(true);
  });

  it('leads through go.work and replace into other modules', () => {
    const { dir } = repository({
      'go.work': 'go 1.24\n\nuse (\n\t./apps/api\n\t./libs/a\n)\n',
      'apps/api/go.mod':
        'module ex.com/api\n\ngo 1.24\n\nrequire ex.com/b v0.0.0\n\nreplace ex.com/b => ../../libs/b\n',
      'apps/api/main.go': 'package main\n\nimport (\n\t_ "ex.com/a/x"\n\t_ "ex.com/b"\n)\n\nfunc main() {}\n',
      'libs/a/go.mod': 'module ex.com/a\n\ngo 1.24\n',
      'libs/a/x/x.go': 'package x\n',
      'libs/a/y/y.go': 'package y\n',
      'libs/b/go.mod': 'module ex.com/b\n\ngo 1.24\n',
      'libs/b/b.go': 'package b\n',
    });
    const { files } = sourcesOf(dir, 'apps/api').read();
    expect(compiled(files.keys())).toEqual(listed(dir, 'apps/api'));
    expect([...files.keys()]).toEqual(
      expect.arrayContaining(['go.work', 'apps/api/go.mod', 'libs/a/go.mod', 'libs/b/go.mod']),
    );
  });

  it('leads into vendored packages', () => {
    const { dir } = repository({
      'go.mod': 'module ex.com/acme\n\ngo 1.24\n\nrequire other.org/v v1.0.0\n',
      'main.go': 'package main\n\nimport _ "other.org/v/used"\n\nfunc main() {}\n',
      'vendor/modules.txt': '# other.org/v v1.0.0\n## explicit; go 1.24\nother.org/v/used\nother.org/v/more\n',
      'vendor/other.org/v/used/used.go': 'package used\n\nimport _ "other.org/v/more"\n',
      'vendor/other.org/v/more/more.go': 'package more\n',
      'vendor/other.org/v/unused/unused.go': 'package unused\n',
    });
    const { files } = sourcesOf(dir, '').read();
    expect(compiled(files.keys())).toEqual(listed(dir, ''));
    expect(files.has('vendor/modules.txt')).toBe(true);
  });

  it('is another thing after a change, and the same after a touch or a rename there and back', () => {
    const { dir, write } = repository(program);
    const sources = sourcesOf(dir, 'apps/api');
    const { files } = sources.read();
    utimesSync(join(dir, 'libs/greet/greet.go'), new Date(), new Date());
    renameSync(join(dir, 'libs/greet/static/a.css'), join(dir, 'libs/greet/static/z.css'));
    expect(sources.read().files.has('libs/greet/static/z.css')).toBe(true);
    renameSync(join(dir, 'libs/greet/static/z.css'), join(dir, 'libs/greet/static/a.css'));
    expect(sources.read().files).toEqual(files);
    // The same size, within the resolution of any clock.
    write('libs/greet/static/a.css', 'b');
    expect(sources.read().files.get('libs/greet/static/a.css')).not.toBe(files.get('libs/greet/static/a.css'));
  });

  it('follows imports that come, break and go, and tells where a missing package would appear', () => {
    const { dir, write } = repository(program);
    const sources = sourcesOf(dir, 'apps/api');
    write('apps/api/more.go', 'package main\n\nimport _ "ex.com/acme/libs/later/x"\n');
    const before = sources.read();
    expect(before.files.has('apps/api/more.go')).toBe(true);
    expect(before.folders).toContain(join(dir, 'libs'));
    write('libs/later/x/x.go', 'package x\n');
    expect(sources.read().files.has('libs/later/x/x.go')).toBe(true);
    write('apps/api/more.go', 'pack');
    const broken = sources.read().files;
    expect([broken.has('apps/api/more.go'), broken.has('libs/later/x/x.go')]).toEqual([true, false]);
    rmSync(join(dir, 'libs'), { recursive: true });
    const { files, folders } = sources.read();
    expect(compiled(files.keys())).toEqual(['apps/api/main.go', 'apps/api/more.go', 'apps/api/page.html']);
    expect(folders).not.toContain(join(dir, 'libs'));
    rmSync(dir, { recursive: true });
    expect(sources.read()).toEqual({ files: new Map(), folders: [] });
  });
});

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, sep } from 'node:path';
import { parsePlatform } from '../platform';
import { closureOf, edgesOf, packageName } from './closure';
import { GoTree } from './packages';

/** A tree over everything in a folder. */
function treeOf(root: string): GoTree {
  const files = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'));
  return new GoTree({ files, read: (file) => readFileSync(join(root, file)) });
}

interface Listed {
  readonly Dir: string;
  readonly Standard?: boolean;
  readonly ImportPath: string;
  readonly EmbedPatterns?: readonly string[];
  readonly DepOnly?: boolean;
}

/** `go list -deps`, as folders below `root`, for the packages named. */
function goList(root: string, dir: string, patterns: readonly string[], platform: string, tests: boolean): Listed[] {
  const { os, architecture } = parsePlatform(platform);
  const output = execFileSync(
    'go',
    ['list', '-e', '-deps', ...(tests ? ['-test'] : []), '-json=Dir,ImportPath,Standard,EmbedPatterns', ...patterns],
    {
      cwd: join(root, dir),
      maxBuffer: 1 << 28,
      env: { ...process.env, GOOS: os, GOARCH: architecture, CGO_ENABLED: '0', GOFLAGS: '', GOPROXY: 'off' },
    },
  ).toString();
  return JSON.parse(`[${output.replaceAll('\n}\n{', '\n},\n{')}]`) as Listed[];
}

function dirsBelow(root: string, listed: readonly Listed[]): string[] {
  const dirs = listed
    .filter(({ Dir }) => Dir !== undefined)
    .map(({ Dir }) => relative(root, Dir).split(sep).join('/'))
    .filter((dir) => !dir.startsWith('..'));
  return [...new Set(dirs)].sort();
}

const build = { cgo: false, tags: [], tests: false } as const;

describe('beside go list, on the go command itself (one module, vendored dependencies, 300 packages)', () => {
  const goroot = realpathSync(execFileSync('go', ['env', 'GOROOT']).toString().trim());
  const root = join(goroot, 'src', 'cmd');
  const tree = treeOf(root);
  const module = tree.modules.get('')!;

  it.each([
    ['go', 'linux/amd64'],
    ['go', 'windows/arm64'],
    ['compile', 'darwin/arm64'],
    ['trace', 'linux/amd64'],
    ['vet', 'plan9/386'],
  ])('finds the folders of cmd/%s for %s', (dir, platform) => {
    const closure = closureOf(tree, { ...build, dirs: [dir], module, platforms: [parsePlatform(platform)] });
    const listed = goList(root, dir, ['.'], platform, false);
    expect(closure.dirs).toEqual(dirsBelow(root, listed));
    const embeds = listed.flatMap(({ Dir, EmbedPatterns }) =>
      dirsBelow(root, [{ Dir, ImportPath: '' }]).flatMap((below) =>
        (EmbedPatterns ?? []).map((pattern) => `${below}: ${pattern}`),
      ),
    );
    expect(closure.embeds.map(({ dir: below, pattern }) => `${below}: ${pattern}`).sort()).toEqual(embeds.sort());
  });

  it('finds the packages that ./... names, and which of them are programs', () => {
    const output = execFileSync('go', ['list', '-e', '-f', '{{.Dir}}\t{{if .GoFiles}}{{.Name}}{{end}}', './...'], {
      cwd: root,
      env: { ...process.env, GOFLAGS: '' },
    });
    const listed = output
      .toString()
      .trim()
      .split('\n')
      .map((line) => line.split('\t') as [string, string]);
    const dirs = tree.packageDirs(module).filter((dir) => packageName(tree, dir) !== undefined);
    const mains = dirs.filter((dir) => packageName(tree, dir) === 'main');
    const relativeDirs = listed.map(([dir]) => relative(root, dir).split(sep).join('/'));
    expect(relativeDirs.filter((dir) => !tree.packageDirs(module).includes(dir))).toEqual([]);
    expect(mains.length).toBeGreaterThan(10);
    expect(
      listed.filter(([, name]) => name === 'main').map(([dir]) => relative(root, dir).split(sep).join('/')),
    ).toEqual(mains.filter((dir) => relativeDirs.includes(dir)));
  });
});

describe('beside go list, on layouts', () => {
  let root: string;
  const write = (files: Readonly<Record<string, string>>): void => {
    for (const [file, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, file)), { recursive: true });
      writeFileSync(join(root, file), text);
    }
  };
  beforeEach(() => {
    root = realpathSync(mkdtempSync(join(tmpdir(), 'slim-go-closure-')));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  const expectEqual = (dir: string, tests = false): void => {
    const tree = treeOf(root);
    const closure = closureOf(tree, {
      ...build,
      dirs: [dir],
      module: tree.moduleOf(dir)!,
      platforms: [parsePlatform('linux/amd64')],
      tests,
    });
    const listed = dirsBelow(root, goList(root, dir, ['.'], 'linux/amd64', tests));
    expect(listed).toContain(dir);
    expect(closure.dirs).toEqual(listed);
  };

  it('resolves by whole path segments, not into a nested module, a comment or another platform', () => {
    write({
      'go.mod': 'module ex.com/a\n\ngo 1.20\n',
      'cmd/x/main.go':
        'package main\n\nimport (\n\t// ) "ex.com/a/no"\n\t_ "ex.com/a/data"\n\t_ "database/sql"\n\t`ex.com/a/raw`\n)\n\nvar _ = raw.X\nfunc main() {}\n',
      'cmd/x/main_test.go': 'package main\n\nimport _ "ex.com/a/fortest"\n',
      'cmd/x/gen.go': '//go:build ignore\n\npackage main\n\nimport _ "ex.com/a/no"\n',
      'cmd/x/x_windows.go': 'package main\n\nimport _ "ex.com/a/no"\n',
      'data/data.go': 'package data\n\nimport _ "ex.com/a/data/deep/er"\n',
      'data/deep/er/er.go': 'package er\n',
      'data/deep/deep.go': 'package deep\n',
      'raw/raw.go': 'package raw\n\nvar X int\n',
      'fortest/f.go': 'package fortest\n',
      'no/no.go': 'package no\n',
      'database/sql/sql.go': 'package sql\n',
    });
    expectEqual('cmd/x');
    expectEqual('cmd/x', true);
  });

  it('follows go.work into the modules it uses and through its replace', () => {
    write({
      'go.work': 'go 1.20\n\nuse (\n\t./app\n\t./lib\n)\n\nreplace ex.com/other => ./forks/other\n',
      'app/go.mod': 'module ex.com/app\n\ngo 1.20\n\nrequire ex.com/other v1.0.0\n',
      'app/main.go': 'package main\n\nimport (\n\t_ "ex.com/lib/v2/sub"\n\t_ "ex.com/other"\n)\n\nfunc main() {}\n',
      'lib/go.mod': 'module ex.com/lib/v2\n\ngo 1.20\n',
      'lib/sub/sub.go': 'package sub\n',
      'lib/lib.go': 'package lib\n',
      'forks/other/go.mod': 'module ex.com/other\n\ngo 1.20\n',
      'forks/other/o.go': 'package other\n',
    });
    expectEqual('app');
  });

  it("follows the main module's replace, and not that of a dependency", () => {
    write({
      'app/go.mod':
        'module ex.com/app\n\ngo 1.20\n\nrequire (\n\tex.com/lib v0.0.0\n\tex.com/deep v0.0.0\n)\n\nreplace (\n\tex.com/lib => ../lib\n\tex.com/deep v0.0.0 => ../deep-a\n)\n',
      'app/main.go': 'package main\n\nimport _ "ex.com/lib"\n\nfunc main() {}\n',
      'lib/go.mod': 'module ex.com/lib\n\ngo 1.20\n\nrequire ex.com/deep v0.0.0\n\nreplace ex.com/deep => ../deep-b\n',
      'lib/lib.go': 'package lib\n\nimport _ "ex.com/deep"\n',
      'deep-a/go.mod': 'module ex.com/deep\n\ngo 1.20\n',
      'deep-a/d.go': 'package deep\n',
      'deep-b/go.mod': 'module ex.com/deep\n\ngo 1.20\n',
      'deep-b/d.go': 'package deep\n',
    });
    expectEqual('app');
  });

  it('takes the replacement of the version that is selected', () => {
    write({
      'app/go.mod':
        'module ex.com/app\n\ngo 1.20\n\nrequire (\n\tex.com/lib v1.1.0\n\tex.com/deep v1.0.0\n)\n\nreplace (\n\tex.com/lib v1.0.0 => ../lib-a\n\tex.com/lib v1.1.0 => ../lib-b\n\tex.com/lib => ../lib-a\n\tex.com/deep v0.9.0 => ../deep-a\n\tex.com/deep => ../deep-b\n)\n',
      'app/main.go': 'package main\n\nimport (\n\t_ "ex.com/deep"\n\t_ "ex.com/lib"\n)\n\nfunc main() {}\n',
      'lib-a/go.mod': 'module ex.com/lib\n\ngo 1.20\n',
      'lib-a/l.go': 'package lib\n',
      'lib-b/go.mod': 'module ex.com/lib\n\ngo 1.20\n',
      'lib-b/l.go': 'package lib\n',
      'deep-a/go.mod': 'module ex.com/deep\n\ngo 1.20\n',
      'deep-a/d.go': 'package deep\n',
      'deep-b/go.mod': 'module ex.com/deep\n\ngo 1.20\n',
      'deep-b/d.go': 'package deep\n',
    });
    expectEqual('app');
  });

  it('leaves a module to others where the replacement is of another version, or go.work has another module for it', () => {
    const closure = () => {
      const tree = treeOf(root);
      const request = {
        ...build,
        dirs: ['app'],
        module: tree.modules.get('app')!,
        platforms: [parsePlatform('linux/amd64')],
      };
      return closureOf(tree, request);
    };
    write({
      'app/go.mod':
        'module ex.com/app\n\ngo 1.20\n\nrequire ex.com/lib v1.1.0\n\nreplace ex.com/lib v1.0.0 => ../lib\n',
      'app/main.go': 'package main\n\nimport _ "ex.com/lib"\n\nfunc main() {}\n',
      'lib/go.mod': 'module ex.com/lib\n\ngo 1.20\n',
      'lib/l.go': 'package lib\n',
    });
    expect(closure()).toMatchObject({ dirs: ['app'], external: ['ex.com/lib'] });
    write({
      'app/go.mod': 'module ex.com/app\n\ngo 1.20\n\nrequire ex.com/lib v1.1.0\n\nreplace ex.com/lib => ../lib\n',
    });
    expect(closure()).toMatchObject({ dirs: ['app', 'lib'], external: [] });
    write({ 'go.work': 'go 1.20\n\nuse ./app\n\nreplace ex.com/lib => ex.com/fork v1.2.0\n' });
    expect(closure()).toMatchObject({ dirs: ['app'], external: ['ex.com/lib'] });
  });

  it('counts what third-party code may import of modules that were published, and only in builds that have such code', () => {
    const third = (version: string) =>
      `module ex.com/app\n\ngo 1.20\n\nrequire (\n\tex.com/third v1.0.0\n\tex.com/lib ${version}\n)\n\nreplace (\n\tex.com/third => ../../third\n\tex.com/lib => ../lib\n)\n`;
    write({
      'third/go.mod': 'module ex.com/third\n\ngo 1.20\n\nrequire ex.com/lib v1.0.0\n',
      'third/t.go': 'package third\n\nimport _ "ex.com/lib/deep"\n',
      'repository/app/go.mod': third('v1.2.0'),
      'repository/app/main.go': 'package main\n\nimport _ "ex.com/third"\n\nfunc main() {}\n',
      'repository/app/pure/p.go': 'package pure\n\nimport _ "ex.com/lib/deep/er"\n',
      'repository/lib/go.mod': 'module ex.com/lib\n\ngo 1.20\n',
      'repository/lib/deep/d.go': 'package deep\n\nimport _ "ex.com/lib/deep/er"\n',
      'repository/lib/deep/er/e.go': 'package er\n',
      'repository/lib/cmd/x/x.go': 'package main\n\nfunc main() {}\n',
    });
    const repository = join(root, 'repository');
    const closure = (dir: string) => {
      const tree = treeOf(repository);
      const request = { ...build, dirs: [dir], module: tree.moduleOf(dir)!, platforms: [parsePlatform('linux/amd64')] };
      return closureOf(tree, request);
    };
    expect(closure('app').dirs).toEqual(dirsBelow(repository, goList(repository, 'app', ['.'], 'linux/amd64', false)));
    expect(closure('app').guessedDirs).toEqual(['lib/deep', 'lib/deep/er']);
    expect(closure('app/pure')).toMatchObject({ dirs: ['app/pure', 'lib/deep/er'], guessedDirs: [] });
    // Nobody outside can require these.
    for (const version of ['v0.0.0', 'v0.0.0-00010101000000-000000000000']) {
      write({ 'repository/app/go.mod': third(version) });
      expect(closure('app').dirs).toEqual(['app']);
    }
  });

  it('reads vendored packages where the go command does', () => {
    write({
      'go.mod': 'module ex.com/a\n\ngo 1.20\n\nrequire ex.com/v v1.0.0\n',
      'main.go': 'package main\n\nimport (\n\t_ "ex.com/a/lib"\n\t_ "ex.com/v/p"\n)\n\nfunc main() {}\n',
      'lib/lib.go': 'package lib\n',
      'vendor/modules.txt': '# ex.com/v v1.0.0\n## explicit\nex.com/v/p\n',
      'vendor/ex.com/v/p/p.go': 'package p\n\nimport _ "ex.com/v/q"\n',
      'vendor/ex.com/v/q/q.go': 'package q\n',
    });
    expectEqual('');
  });

  it('prefers the nested module that is replaced in over the folder of the outer one', () => {
    write({
      'go.mod': 'module ex.com/a\n\ngo 1.20\n\nrequire ex.com/a/nested v0.0.0\n\nreplace ex.com/a/nested => ./nested\n',
      'main.go': 'package main\n\nimport _ "ex.com/a/nested/p"\n\nfunc main() {}\n',
      'nested/go.mod': 'module ex.com/a/nested\n\ngo 1.20\n',
      'nested/p/p.go': 'package p\n',
    });
    expectEqual('');
  });

  it('keeps the folder of an import that is not there any more', () => {
    write({ 'go.mod': 'module ex.com/a\n\ngo 1.20\n', 'main.go': 'package main\n\nimport _ "ex.com/a/gone/x"\n' });
    const tree = treeOf(root);
    const request = { ...build, dirs: [''], module: tree.modules.get('')!, platforms: [parsePlatform('linux/amd64')] };
    expect(closureOf(tree, request).dirs).toEqual(['', 'gone/x']);
  });

  it('lets a broken file cost only its own folder, and says which line', () => {
    write({
      'go.mod': 'module ex.com/a\n\ngo 1.20\n',
      'main.go': 'package main\n\nimport (\n\t_ "ex.com/a/bad"\n\t_ "ex.com/a/good"\n)\n',
      'bad/bad.go': 'package bad\n\nimport "unclosed\n',
      'good/good.go': 'package good\n',
      'testdata/go.mod': 'modul x\n',
      'other/testdata/go.mod': 'module ex.com/t\n',
    });
    const tree = treeOf(root);
    const request = { ...build, dirs: [''], module: tree.modules.get('')!, platforms: [parsePlatform('linux/amd64')] };
    const closure = closureOf(tree, request);
    expect(closure.dirs).toEqual(['', 'bad', 'good']);
    expect(closure.brokenDirs).toEqual(['bad']);
    expect(tree.warnings.join('\n')).toMatch(/bad\/bad\.go:3: the string is not closed/);
  });

  it('leaves out vendor, testdata, _x, .x and what go.mod ignores, as ./... does', () => {
    const dirs = [
      '',
      'a',
      'a/testdata/b',
      'vendor/ex.com/v',
      '_x',
      '.x',
      'web/deep',
      'c/gen',
      'c/web',
      'nested/n',
      'a_b',
    ];
    write({
      'go.mod': 'module ex.com/a\n\ngo 1.25\n\nignore (\n\t./web\n\tgen\n)\n',
      'nested/go.mod': 'module ex.com/n\n',
    });
    for (const dir of dirs) write({ [join(dir, 'x.go')]: 'package x\n' });
    const tree = treeOf(root);
    const output = execFileSync('go', ['list', '-mod=mod', '-f', '{{.Dir}}', './...'], { cwd: root }).toString();
    const listed = output
      .trim()
      .split('\n')
      .map((dir) => relative(root, dir).split(sep).join('/'));
    expect(tree.packageDirs(tree.modules.get('')!)).toEqual(listed.sort());
  });

  it('does not see files that the go command never compiles: _x.go, .x.go and package documentation', () => {
    write({
      'go.mod': 'module ex.com/a\n\ngo 1.20\n',
      'cmd/x/a.go': 'package documentation\n\nimport _ "ex.com/a/no"\n',
      'cmd/x/x.go': 'package main\n\nimport _ "ex.com/a/lib"\n\nfunc main() {}\n',
      'lib/lib.go': 'package lib\n',
      'no/no.go': 'package no\n',
      'hidden/_x.go': 'package hidden\n',
      'dotted/.x.go': 'package dotted\n',
      'documented/d.go': 'package documentation\n',
    });
    const tree = treeOf(root);
    const module = tree.modules.get('')!;
    const listed = goList(root, '', ['./...'], 'linux/amd64', false);
    expect(tree.packageDirs(module)).toEqual(dirsBelow(root, listed));
    expect(packageName(tree, 'cmd/x')).toBe('main');
    expect(edgesOf(tree, tree.package('cmd/x')!, module)).toEqual([{ sourceFile: 'cmd/x/x.go', targetDir: 'lib' }]);
    expectEqual('cmd/x');
  });

  it('names the module files that choose versions only where third-party code takes part', () => {
    write({
      'go.work': 'go 1.20\n\nuse (\n\t./app\n\t./plain\n\t./other\n)\n',
      'app/go.mod': 'module ex.com/app\n\ngo 1.20\n\nrequire github.com/x/y v1.0.0\n',
      'app/main.go': 'package main\n\nimport _ "github.com/x/y"\n',
      'plain/go.mod': 'module ex.com/plain\n\ngo 1.20\n',
      'plain/main.go': 'package main\n',
      'other/go.mod': 'module ex.com/other\n\ngo 1.20\n',
    });
    const tree = treeOf(root);
    const files = (dir: string) =>
      closureOf(tree, {
        ...build,
        dirs: [dir],
        module: tree.moduleOf(dir)!,
        platforms: [parsePlatform('linux/amd64')],
      }).moduleFiles;
    expect(files('plain')).toEqual(['go.work', 'plain/go.mod', 'plain/go.sum', 'vendor/modules.txt']);
    expect(files('app')).toEqual(expect.arrayContaining(['other/go.mod', 'go.work.sum', 'app/go.sum']));
  });

  it('names the folders that go.work or a replace line wants and that hold no go.mod: no build works without it', () => {
    write({
      'go.work': 'go 1.20\n\nuse (\n\t./app\n\t./moved\n\t../outside\n)\n',
      'app/go.mod': 'module ex.com/app\n\ngo 1.20\n\nreplace ex.com/lib => ../lib\n',
      'app/main.go': 'package main\n\nfunc main() {}\n',
    });
    const tree = treeOf(root);
    const { absent } = closureOf(tree, {
      ...build,
      dirs: ['app'],
      module: tree.modules.get('app')!,
      platforms: [parsePlatform('linux/amd64')],
    });
    expect(absent).toEqual(['moved', 'lib']);
    expect(() => execFileSync('go', ['build', './app'], { cwd: root, stdio: 'pipe' })).toThrow(/moved/);
  });

  it('gives each import of another folder as an edge with its file', () => {
    write({
      'go.mod': 'module ex.com/a\n\ngo 1.20\n',
      'main_test.go': 'package main\n\nimport (\n\t_ "ex.com/a/lib"\n\t_ "fmt"\n)\n',
      'lib/lib.go': 'package lib\n',
    });
    const tree = treeOf(root);
    expect(edgesOf(tree, tree.package('')!, tree.modules.get('')!)).toEqual([
      { sourceFile: 'main_test.go', targetDir: 'lib' },
    ]);
  });
});

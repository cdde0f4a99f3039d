import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { collectDeps, moduleState, packageKey, parseDeps } from './deps';
import { GoTree } from './packages';

const goMod =
  'module example.com/acme\n\ngo 1.24\n\nrequire (\n\texample.com/A v1.0.0\n\texample.com/b v1.2.0\n\texample.com/c v0.1.0 // indirect\n\texample.com/folder v1.0.0\n)\n\nreplace example.com/b v1.2.0 => example.com/fork v1.2.1\n\nreplace example.com/folder => ../outside\n';
const sources = {
  'go.mod': goMod,
  'main.go':
    'package main\n\nimport (\n\t_ "fmt"\n\n\t_ "example.com/A/sub"\n\t_ "example.com/acme/lib"\n\t_ "example.com/folder"\n\t_ "example.com/nobody"\n)\n',
  'lib/lib_test.go': 'package lib\n\nimport _ "example.com/b"\n',
};
const cached = {
  'example.com/!a@v1.0.0/sub/x.go': 'package sub\n\nimport _ "example.com/c/deep"\n',
  'example.com/!a@v1.0.0/sub/x_test.go': 'package sub\n\nimport _ "example.com/b"\n',
  'example.com/!a@v1.0.0/sub/gen.go':
    '//go:build ignore\n\npackage main\n\nimport (\n\t_ "example.com/tool"\n\t_ "example.com/A/gone"\n)\n',
  'example.com/fork@v1.2.1/b_windows.go': 'package b\n\nimport _ "example.com/c/deep"\n',
  'example.com/c@v0.1.0/deep/c.go': 'package deep\n\nimport _ "os"\n',
};

let moduleCache: string;
beforeEach(() => {
  moduleCache = mkdtempSync(join(tmpdir(), 'slim-go-deps-'));
  for (const [file, text] of Object.entries(cached)) {
    mkdirSync(dirname(join(moduleCache, file)), { recursive: true });
    writeFileSync(join(moduleCache, file), text);
  }
});
afterEach(() => rmSync(moduleCache, { recursive: true, force: true }));

function collect(files: Readonly<Record<string, string>>, cache = moduleCache) {
  const tree = new GoTree({ files: Object.keys(files), read: (file) => Buffer.from(files[file] ?? '') });
  const context = tree.context(tree.modules.get('')!);
  const readText = (file: string) => files[file];
  return { ...collectDeps(tree, context, readText, cache), state: moduleState(context, readText) };
}

it('tells packages apart by the modules that they reach', () => {
  const { deps, missing } = collect(sources);
  expect(missing).toEqual([]);
  // One from outside of every required module, and one from a folder, have no version to tell.
  expect(Object.keys(deps.packages)).toEqual(['example.com/A/sub', 'example.com/b'].map(packageKey));
  const changed = (from: string, to: string) => {
    const after = collect({ ...sources, 'go.mod': goMod.replace(from, to) }).deps;
    return Object.keys(deps.packages).filter((key) => after.packages[key] !== deps.packages[key]);
  };
  expect(changed('A v1.0.0', 'A v1.0.0 // a comment')).toEqual([]);
  for (const [folder, version] of [
    ['fork', 'v1.2.2'],
    ['c', 'v0.2.0'],
  ]) {
    const from = Object.keys(cached).find((file) => file.startsWith(`example.com/${folder}@`))!;
    const to = join(moduleCache, from.replace(/@[^/]+/, `@${version}`));
    mkdirSync(dirname(to), { recursive: true });
    writeFileSync(to, readFileSync(join(moduleCache, from)));
  }
  expect(changed('fork v1.2.1', 'fork v1.2.2')).toEqual([packageKey('example.com/b')]);
  expect(changed('c v0.1.0', 'c v0.2.0')).toEqual(Object.keys(deps.packages));
});

it('names the modules whose sources are not there', () => {
  const { missing } = collect({ ...sources, 'go.mod': goMod.replace('c v0.1.0', 'c v0.3.0') });
  expect(missing).toEqual(['example.com/c@v0.3.0']);
});

it('knows when it is not true to the module files any more, and what decides about every build', () => {
  const { deps, state } = collect(sources);
  expect(deps).toMatchObject(state);
  const after = (files: Readonly<Record<string, string>>) => {
    const other = collect({ ...sources, ...files }).state;
    return [other.moduleFiles !== state.moduleFiles, other.go !== state.go];
  };
  expect(after({ 'lib/x.go': 'package lib\n' })).toEqual([false, false]);
  expect(after({ 'go.sum': 'example.com/A v1.0.0 h1:x=\n' })).toEqual([true, false]);
  expect(after({ 'go.mod': goMod.replace('b v1.2.0\n\tex', 'b v1.3.0\n\tex') })).toEqual([true, false]);
  expect(after({ 'go.mod': goMod.replace('go 1.24', 'go 1.25') })).toEqual([true, true]);
  expect(after({ 'go.mod': `${goMod}\ngodebug panicnil=1\n` })).toEqual([true, true]);
  expect(after({ 'go.mod': goMod.replace('../outside', '../other') })).toEqual([true, true]);
});

it.each(['', '{}', 'null', '[]', '{"moduleFiles":1,"go":"x","packages":{}}'])(
  'takes %j for no go.deps.json',
  (text) => {
    expect(parseDeps(text)).toBeUndefined();
  },
);

it('reaches what the go command lists, for modules that are published', () => {
  const root = mkdtempSync(join(tmpdir(), 'slim-go-deps-'));
  const go = (...args: string[]) =>
    execFileSync('go', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  try {
    const main = 'package main\n\nimport (\n\t_ "rsc.io/quote"\n\t_ "github.com/google/uuid"\n)\n\nfunc main() {}\n';
    writeFileSync(join(root, 'go.mod'), 'module example.com/acme\n\ngo 1.24\n');
    writeFileSync(join(root, 'main.go'), main);
    go('get', 'rsc.io/quote@v1.5.2', 'github.com/google/uuid@v1.6.0');
    go('mod', 'download');
    const files: Record<string, string> = { 'main.go': main };
    for (const name of ['go.mod', 'go.sum']) files[name] = readFileSync(join(root, name), 'utf8');
    const cache = go('env', 'GOMODCACHE').trim();
    const { deps, missing } = collect(files, cache);
    expect(missing).toEqual([]);
    const modulesOf = (path: string) =>
      go('list', '-deps', '-f', '{{with .Module}}{{.Path}}{{end}}', path)
        .split('\n')
        .filter((line) => line !== '');
    for (const [path, others] of [
      ['rsc.io/quote', ['rsc.io/sampler', 'golang.org/x/text']],
      ['github.com/google/uuid', []],
    ] as const) {
      expect(new Set(modulesOf(path))).toEqual(new Set([path, ...others]));
      for (const module of ['rsc.io/sampler', 'golang.org/x/text', 'github.com/google/uuid']) {
        const bumped = files['go.mod']!.replace(new RegExp(`(${module}) v\\S+`), '$1 v9.9.9');
        expect(bumped).not.toBe(files['go.mod']);
        const after = collect({ ...files, 'go.mod': bumped }, cache);
        // What isn't there is told as missing exactly where it is reached.
        expect(after.missing).toEqual([`${module}@v9.9.9`]);
        const isReached = after.deps.packages[packageKey(path)] !== deps.packages[packageKey(path)];
        expect([path, module, isReached]).toEqual([path, module, new Set<string>([path, ...others]).has(module)]);
      }
    }
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}, 60_000);

import { spawnSync } from 'node:child_process';
import { logger, readJson, type Tree, updateJson, writeJson } from '@nx/devkit';
import { workspace } from '../workspace.testdata';
import init from './generator';

const minor = spawnSync('go', ['env', 'GOVERSION'], { encoding: 'utf8' }).stdout.match(/go1\.(\d+)/)?.[1];

function snapshot(tree: Tree): Record<string, string> {
  return Object.fromEntries(tree.listChanges().map(({ path, content }) => [path, content?.toString() ?? '']));
}

describe('init', () => {
  it('registers the plugin, ignores dist, adds the package and makes the root module', async () => {
    const tree = workspace();
    tree.write('.gitignore', 'node_modules');
    await init(tree, { skipFormat: true });
    expect(readJson(tree, 'nx.json').plugins).toEqual(['slim-go']);
    expect(tree.read('.gitignore', 'utf8')).toBe('node_modules\ndist\n');
    expect(readJson(tree, 'package.json').devDependencies['slim-go']).toMatch(/^\d+\.\d+\.\d+/);
    expect(tree.read('go.mod', 'utf8')).toBe(`module example.com/proj\n\ngo 1.${minor}.0\n`);
    expect(tree.exists('go.work')).toBe(false);
  });

  it('has `nx sync` keep a go.work or a go.deps.json, beside what is synchronised already', async () => {
    const tree = workspace();
    updateJson(tree, 'nx.json', (json) => ({
      ...json,
      sync: { globalGenerators: ['other:sync'], applyChanges: true },
    }));
    await init(tree, { layout: 'workspace', skipFormat: true });
    expect(readJson(tree, 'nx.json').sync).toEqual({
      globalGenerators: ['other:sync', 'slim-go:sync'],
      applyChanges: true,
    });
    const single = workspace();
    await init(single, { skipFormat: true });
    expect(readJson(single, 'nx.json').sync).toBeUndefined();
    await init(single, { skipFormat: true, deps: true });
    expect(readJson(single, 'nx.json').sync).toEqual({ globalGenerators: ['slim-go:sync'] });
    expect(single.read('go.deps.json', 'utf8')).toBe('{}\n');
  });

  it('changes nothing the second time, in both layouts', async () => {
    for (const layout of ['module', 'workspace'] as const) {
      const tree = workspace();
      await init(tree, { layout, skipFormat: true });
      const first = snapshot(tree);
      await init(tree, { layout, skipFormat: true });
      expect(snapshot(tree)).toEqual(first);
    }
  });

  it('keeps a plugin entry with options, a version, an ignored dist and Go that is there', async () => {
    const tree = workspace();
    writeJson(tree, 'nx.json', { plugins: [{ plugin: 'slim-go', options: { buildTargetName: 'compile' } }] });
    updateJson(tree, 'package.json', (json) => ({ ...json, dependencies: { 'slim-go': 'file:slim-go.tgz' } }));
    tree.write('.gitignore', '/tmp\r\ndist/\r\n');
    tree.write('services/api/go.mod', 'module example.com/api\n');
    const before = snapshot(tree);
    await init(tree, { skipFormat: true });
    expect(snapshot(tree)).toEqual(before);
  });

  it('makes a go.work that names the modules that are there, and that go takes', async () => {
    const tree = workspace();
    tree.write('b/go.mod', 'module example.com/b\n');
    tree.write('a/go.mod', 'module example.com/a\n');
    tree.write('a/testdata/x/go.mod', 'module example.com/x\n');
    await init(tree, { layout: 'workspace', skipFormat: true });
    expect(tree.read('go.work', 'utf8')).toBe(`go 1.${minor}.0\n\nuse (\n\t./a\n\t./b\n)\n`);
    expect(tree.exists('go.mod')).toBe(false);
  });

  it('takes the module path from the git remote and the folder in the repository', async () => {
    const tree = workspace();
    const git = (...args: string[]) => expect(spawnSync('git', args, { cwd: tree.root }).status).toBe(0);
    git('init', '-q');
    git('remote', 'add', 'origin', 'git@github.com:acme/shop.git');
    await init(tree, { skipFormat: true });
    expect(tree.read('go.mod', 'utf8')).toContain('module github.com/acme/shop\n');
  });

  it('takes the module path that it is given, and refuses one of the standard library', async () => {
    const tree = workspace();
    await expect(init(tree, { module: 'fmt' })).rejects.toThrow(
      '"fmt" can\'t be a module path: "fmt" is part of the standard library.\n  Take the address',
    );
    await init(tree, { module: 'github.com/acme/other', skipPackageJson: true, skipFormat: true });
    expect(tree.read('go.mod', 'utf8')).toContain('module github.com/acme/other\n');
    expect(readJson(tree, 'package.json').devDependencies['slim-go']).toBeUndefined();
  });

  it('writes no Go file where there is Go, and says once what it found', async () => {
    const said: unknown[] = [];
    const spies = (['info', 'warn'] as const).map((level) =>
      jest.spyOn(logger, level).mockImplementation((...line: unknown[]) => said.push(...line)),
    );
    const tree = workspace();
    tree.write('backend/go.mod', 'module example.com/shop\n\ngo 1.21\n');
    tree.write('backend/shop.go', 'package shop\n');
    tree.write('backend/cmd/api/main.go', 'package main\n\nfunc main() {}\n');
    tree.write('backend/cmd/api/Dockerfile', 'FROM scratch\nCOPY dist/linux /\n');
    tree.write('backend/cmd/worker/main.go', 'package main\n\nfunc main() {}\n');
    tree.write('backend/cmd/worker/Dockerfile', 'FROM alpine\nRUN apk add git\n');
    tree.write('backend/cmd/tool/main.go', 'package main\n\nfunc main() {}\n');
    tree.write('deploy/proxy.Dockerfile', 'FROM nginx\n');
    tree.write('backend/testdata/Dockerfile', 'FROM nginx\n');
    const before = new Set(Object.keys(snapshot(tree)));
    await init(tree, { skipFormat: true });
    expect(said.splice(0)).toEqual([
      'slim-go found 3 programs and 1 library in 1 Go module.',
      '  api, tool, worker',
      '  backend/cmd/api/Dockerfile: image of api, built without a container engine',
      '  backend/cmd/worker/Dockerfile: image of worker, built by a container engine (line 2: RUN)',
      expect.stringContaining('  deploy/proxy.Dockerfile: beside no program.'),
      '  A program without a Dockerfile gets one by `nx g slim-go:docker backend/cmd/tool`.',
    ]);
    expect(Object.keys(snapshot(tree)).filter((path) => !before.has(path))).toEqual(['.gitignore']);
    await init(tree, { skipFormat: true });
    expect(said).toEqual([]);
    for (const spy of spies) spy.mockRestore();
  });

  it('sets up Nx itself where it is new, and guesses no module path for Go that has none', async () => {
    const warn = jest.spyOn(logger, 'warn').mockImplementation(() => undefined);
    const tree = workspace();
    tree.delete('nx.json');
    tree.write('main.go', 'package main\n');
    await init(tree, { skipFormat: true });
    expect(readJson(tree, 'nx.json').plugins).toEqual(['slim-go']);
    expect(tree.read('.gitignore', 'utf8')).toBe('node_modules\n.nx/cache\n.nx/workspace-data\ndist\n');
    expect(tree.exists('go.mod')).toBe(false);
    expect(warn.mock.calls).toEqual([[expect.stringContaining('go mod init')]]);
    warn.mockRestore();
  });
});

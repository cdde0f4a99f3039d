import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readJson, type Tree } from '@nx/devkit';
import init from '../init/generator';
import { workspace } from '../workspace.testdata';
import lib from './generator';

const generate = (tree: Tree, directory: string, options: Partial<Parameters<typeof lib>[1]> = {}) =>
  lib(tree, { internal: false, skipFormat: true, directory, ...options });

/** Writes the tree to disk, and has gofmt, vet and test look at the package. */
function expectSoundGo(tree: Tree, directory: string): void {
  for (const { path, content } of tree.listChanges()) {
    if (!content) continue;
    mkdirSync(dirname(join(tree.root, path)), { recursive: true });
    writeFileSync(join(tree.root, path), content);
  }
  const cwd = join(tree.root, directory);
  const run = (command: string, ...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8' });
    expect(`${stderr}${status}`).toBe('0');
    return stdout;
  };
  expect(run('gofmt', '-l', '.')).toBe('');
  run('go', 'vet', '.');
  expect(run('go', 'test', '-v', '.')).toContain('--- PASS: TestGreeting');
  expect(run('go', 'doc', '.')).toMatch(/Package \w+ greets people\./);
}

describe('slim-go:lib', () => {
  it('makes a package of the root module, which Nx knows by a project.json', async () => {
    const tree = workspace();
    await generate(tree, 'libs/small-talk', { tags: 'a, b' });
    expectSoundGo(tree, 'libs/small-talk');
    expect(tree.children('libs/small-talk').sort()).toEqual(['project.json', 'smalltalk.go', 'smalltalk_test.go']);
    expect(readJson(tree, 'libs/small-talk/project.json')).toMatchObject({
      name: 'small-talk',
      projectType: 'library',
      tags: ['a', 'b'],
    });
    expect(tree.exists('go.mod')).toBe(true);
  });

  it('makes a module in a go.work, and names it there', async () => {
    const tree = workspace();
    await init(tree, { layout: 'workspace', skipFormat: true });
    await generate(tree, 'libs/greet');
    expectSoundGo(tree, 'libs/greet');
    expect(tree.read('go.work', 'utf8')).toContain('./libs/greet');
    expect(tree.exists('libs/greet/project.json')).toBe(false);
  });

  it('puts it out of the reach of others', async () => {
    const tree = workspace();
    await generate(tree, 'libs/greet', { internal: true });
    expectSoundGo(tree, 'libs/internal/greet');
    await generate(tree, 'internal/more', { internal: true });
    expect(tree.exists('internal/more/more.go')).toBe(true);
  });

  it.each([
    ['libs/func', /No package can be named after the folder "func"/],
    ['libs/1st', /No package can be named after the folder "1st"/],
    ['libs/main', /No package can be named after the folder "main"/],
    ['../libs/greet', /it lies outside the workspace/],
    ['libs/internal', /"internal" is a folder of packages/],
    ['libs/dist', /git ignores "dist"/],
  ])('refuses %s', async (directory, message) => {
    await expect(generate(workspace(), directory)).rejects.toThrow(message);
  });

  it('overwrites nothing', async () => {
    const tree = workspace();
    tree.write('libs/greet/greet.go', 'package greet\n');
    await expect(generate(tree, 'libs/greet')).rejects.toThrow(/libs\/greet has greet.go already; nothing was changed/);
    expect(tree.read('libs/greet/greet.go', 'utf8')).toBe('package greet\n');
  });

  it('takes no name that another project has', async () => {
    const tree = workspace();
    await generate(tree, 'libs/greet');
    await expect(generate(tree, 'more/greet')).rejects.toThrow(/There is a project "greet" already, in libs\/greet/);
  });
});

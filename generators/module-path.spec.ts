import { spawnSync } from 'node:child_process';
import { checkModulePath, exampleModule, moduleOfRemote, pathElementProblem, standardLibrary } from './module-path';

describe('moduleOfRemote', () => {
  it.each([
    ['https://github.com/acme/shop.git', 'github.com/acme/shop'],
    ['https://github.com/acme/shop', 'github.com/acme/shop'],
    ['https://user:token@GitHub.com/Acme/Shop.git/', 'github.com/Acme/Shop.git'.replace(/\.git$/, '')],
    ['git@github.com:acme/shop.git', 'github.com/acme/shop'],
    ['ssh://git@git.acme.example:2222/team/sub/shop.git', 'git.acme.example/team/sub/shop'],
    ['git://example.org/shop.git', 'example.org/shop'],
    ['https://dev.azure.com/acme/shop/_git/shop', 'dev.azure.com/acme/shop/_git/shop'],
  ])('takes %s for %s', (remote, module) => {
    expect(moduleOfRemote(remote)).toBe(module);
  });

  it.each([
    '',
    '/srv/git/shop.git',
    '../shop',
    'file:///srv/git/shop.git',
    'C:\\git\\shop',
    'C:/git/shop',
    'work:acme/shop',
    'https://localhost/shop',
    'https://example.org/a b',
  ])('makes no module path of "%s"', (remote) => {
    expect(moduleOfRemote(remote)).toBeUndefined();
  });
});

describe('module paths', () => {
  it('knows every top-level name of the standard library of the installed Go', () => {
    const { stdout } = spawnSync('go', ['list', 'std', 'cmd'], { encoding: 'utf8' });
    const names = new Set(
      stdout
        .trim()
        .split('\n')
        .map((path) => path.split('/')[0] ?? ''),
    );
    expect(names.size).toBeGreaterThan(40);
    expect([...names].filter((name) => !standardLibrary.has(name))).toEqual([]);
  });

  // `go mod init` is the judge of what Go takes.
  const go = (path: string) => {
    const text = JSON.stringify({ path });
    return spawnSync('go', ['mod', 'edit', `-module=${JSON.parse(text).path}`, '-print'], {
      input: '',
      cwd: __dirname,
      encoding: 'utf8',
    });
  };
  it.each(['github.com/acme/shop', 'example.com/a~b', 'acme', 'acme/shop', 'example.com/shop/v2', 'example.com/_x'])(
    'takes %s',
    (path) => {
      expect(() => checkModulePath(path)).not.toThrow();
      expect(go(path).stderr).not.toContain('malformed');
    },
  );

  it.each([
    ['fmt', 'part of the standard library'],
    ['net/shop', 'part of the standard library'],
    ['', 'empty element'],
    ['example.com//x', 'empty element'],
    ['example.com/a b', 'only ASCII'],
    ['example.com/grüße', 'only ASCII'],
    ['example.com/con', 'device on Windows'],
    ['example.com/x.', 'ends with a dot'],
    ['example.com/.x', 'starts with a dot'],
    ['Example.com/x', 'lower case'],
    ['-x.com/y', 'hyphen'],
    ['example.com/x/v1', 'starts at v2'],
  ])('refuses "%s": %s', (path, reason) => {
    expect(() => checkModulePath(path)).toThrow(
      expect.objectContaining({ code: 'NAME_INVALID', message: expect.stringContaining(reason) }),
    );
  });

  it.each([
    ['@acme/shop', 'example.com/shop'],
    ['fmt', 'example.com/fmt'],
    ['My Shop!', 'example.com/my-shop'],
    ['...', 'example.com/workspace'],
    ['con', 'example.com/workspace'],
  ])('makes of the workspace "%s" the module %s', (name, module) => {
    expect(exampleModule(name)).toBe(module);
    expect(() => checkModulePath(module)).not.toThrow();
  });

  it('takes an ordinary element', () => {
    expect(pathElementProblem('hello-1.2_x')).toBeUndefined();
  });
});

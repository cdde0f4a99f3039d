import { GoTree } from '../go/packages';
import { findProjects, type StatedProject } from './projects';

function projectsIn(
  files: Readonly<Record<string, string>>,
  stated: Readonly<Record<string, StatedProject>> = {},
  packageNames: Readonly<Record<string, string>> = {},
) {
  const tree = new GoTree({ files: Object.keys(files), read: (file) => Buffer.from(files[file] ?? '') });
  const found = findProjects(tree, new Map(Object.entries(stated)), new Map(Object.entries(packageNames)), 'ws');
  return Object.fromEntries(found.map((project) => [project.root || '.', project]));
}

function namesIn(...parameters: Parameters<typeof projectsIn>): Record<string, string> {
  return Object.fromEntries(Object.entries(projectsIn(...parameters)).map(([root, { name }]) => [root, name]));
}

const main = 'package main\n\nfunc main() {}\n';
const lib = 'package lib\n';

it('makes each program of a one-module repository a project, and the root one for what is left', () => {
  const found = projectsIn({
    'go.mod': 'module ex.com/acme/v2\n',
    'cmd/api/main.go': main,
    'cmd/worker/main.go': main,
    'cmd/worker/sub/s.go': lib,
    'internal/x/x.go': lib,
  });
  expect(Object.entries(found).map(([root, { name, main: program }]) => [root, name, program])).toEqual([
    ['.', 'acme', undefined],
    ['cmd/api', 'api', 'cmd/api'],
    ['cmd/worker', 'worker', 'cmd/worker'],
  ]);
  expect(found['.']!.packages).toEqual(['internal/x']);
  expect(found['.']!.foreign).toEqual(['cmd/api', 'cmd/worker', 'cmd/worker/sub']);
  expect(found['cmd/worker']!.packages).toEqual(['cmd/worker', 'cmd/worker/sub']);
});

it('makes no project of a root go.mod whose packages are all in projects', () => {
  expect(namesIn({ 'go.mod': 'module ex.com/acme\n', 'apps/hello/main.go': main })).toEqual({ 'apps/hello': 'hello' });
});

it('makes a root module that is itself a program a project, named by its path and not by the checkout', () => {
  expect(namesIn({ 'go.mod': 'module ex.com/whoami\n', 'app.go': main })).toEqual({ '.': 'whoami' });
});

it('makes every module a project', () => {
  const files = {
    'apps/a/go.mod': 'module ex.com/a\n',
    'apps/a/main.go': main,
    'libs/l/go.mod': 'module ex.com/l\n',
    'libs/l/l.go': lib,
  };
  expect(namesIn(files)).toEqual({ 'apps/a': 'a', 'libs/l': 'l' });
});

it('gives a program below a project.json to that project, unless there are several', () => {
  const files = { 'go.mod': 'module ex.com/acme\n', 'apps/one/cmd/one/main.go': main, 'apps/one/x/x.go': lib };
  const stated = { 'apps/one': { name: 'first' } };
  const one = projectsIn(files, stated);
  expect(one['apps/one']).toMatchObject({ name: 'first', main: 'apps/one/cmd/one' });
  expect(Object.keys(one)).toEqual(['apps/one']);
  const two = projectsIn({ ...files, 'apps/one/cmd/two/main.go': main }, stated);
  expect(Object.keys(two)).toEqual(['apps/one', 'apps/one/cmd/one', 'apps/one/cmd/two']);
  expect(two['apps/one']!.main).toBeUndefined();
});

it('lengthens a folder name until it is unique, also beside projects that are not Go', () => {
  const files = {
    'go.mod': 'module ex.com/acme\n',
    'apps/x/api/main.go': main,
    'apps/y/api/main.go': main,
    'apps/web/main.go': main,
    'apps/docs/main.go': main,
  };
  expect(namesIn(files, { 'libs/web': { name: 'web' } }, { 'sites/docs': 'docs', 'apps/x/api': 'api' })).toEqual({
    'apps/x/api': 'x-api',
    'apps/y/api': 'y-api',
    'apps/web': 'apps-web',
    'apps/docs': 'apps-docs',
  });
});

it('lets the program have the short name where the library around it is called the same', () => {
  expect(
    namesIn({
      'caddy/go.mod': 'module ex.com/caddy/v2\n',
      'caddy/caddy.go': 'package caddy\n',
      'caddy/cmd/caddy/main.go': main,
    }),
  ).toEqual({ 'caddy/cmd/caddy': 'caddy', caddy: 'caddy-module' });
  expect(namesIn({ 'go.mod': 'module ex.com/etcd\n', 'etcd.go': 'package etcd\n', 'cmd/etcd/main.go': main })).toEqual({
    'cmd/etcd': 'etcd',
    '.': 'etcd-root',
  });
});

it('gives unique names even where joined paths are equal', () => {
  const names = Object.values(
    namesIn({
      'go.mod': 'module ex.com/m\n',
      'a/b-c/main.go': main,
      'a-b/c/main.go': main,
      'z/c/main.go': main,
      'z/b-c/main.go': main,
    }),
  );
  expect(new Set(names).size).toBe(4);
});

it('makes no project of a test, a generator, a tools file, testdata, vendor or a hidden folder', () => {
  const files = {
    'go.mod': 'module ex.com/acme\n',
    'gen/gen.go': '//go:build ignore\n\npackage main\n',
    'gen/lib.go': 'package gen\n',
    'only/main_test.go': 'package main\n',
    'a/testdata/go.mod': 'module broken broken\n',
    'a/testdata/main.go': main,
    'b/testdata/go.mod': 'module broken broken\n',
    'vendor/x/main.go': main,
    '_old/main.go': main,
    '.hidden/go.mod': 'module ex.com/h\n',
    '.hidden/main.go': main,
    'win/main_windows.go': main,
  };
  expect(namesIn(files)).toEqual({ '.': 'acme', win: 'win' });
});

it('is empty without a go.mod', () => {
  expect(namesIn({ 'main.go': main })).toEqual({});
});

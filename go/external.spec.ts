import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { externalEdgesOf, externalModules } from './external';
import { GoTree } from './packages';

function treeOf(files: Readonly<Record<string, string>>): GoTree {
  return new GoTree({ files: Object.keys(files), read: (file) => Buffer.from(files[file] ?? '') });
}

function versions(tree: GoTree, dir: string): Record<string, string> {
  const modules = externalModules(tree.context(tree.modules.get(dir)!));
  return Object.fromEntries([...modules.values()].map(({ path, version }) => [path, version]));
}

it('gives each import the module that holds the package, at its version', () => {
  const files = {
    'go.mod':
      'module example.com/acme\n\ngo 1.24\n\nrequire (\n\tgithub.com/a/b v1.2.0\n\tgithub.com/a/b/sub v0.3.0 // indirect\n\tgopkg.in/yaml.v3 v3.0.1\n)\n',
    'main.go':
      'package main\n\nimport (\n\t"fmt"\n\t"github.com/a/b/other"\n\t"github.com/a/b/sub/x"\n\t"example.com/acme/lib"\n)\n',
    'main_test.go': 'package main\n\nimport "gopkg.in/yaml.v3"\n',
    'lib/lib.go': 'package lib\n\nimport "github.com/a/bc"\n',
  };
  const tree = treeOf(files);
  const module = tree.modules.get('')!;
  const modules = externalModules(tree.context(module));
  expect(externalEdgesOf(tree, tree.package('')!, module, modules)).toEqual([
    { sourceFile: 'main.go', module: { path: 'github.com/a/b', version: 'v1.2.0' } },
    { sourceFile: 'main.go', module: { path: 'github.com/a/b/sub', version: 'v0.3.0' } },
    { sourceFile: 'main_test.go', module: { path: 'gopkg.in/yaml.v3', version: 'v3.0.1' } },
  ]);
  // Nobody requires github.com/a/bc: that does not compile, and is no node.
  expect(externalEdgesOf(tree, tree.package('lib')!, module, modules)).toEqual([]);
});

it('tells vendored packages as the modules that they come from', () => {
  const tree = treeOf({
    'go.mod': 'module example.com/acme\n\ngo 1.24\n\nrequire github.com/a/b v1.2.0\n',
    'main.go': 'package main\n\nimport _ "github.com/a/b/x"\n',
    'vendor/modules.txt': '# github.com/a/b v1.2.0\n## explicit\ngithub.com/a/b/x\n',
    'vendor/github.com/a/b/x/x.go': 'package x\n',
  });
  const module = tree.modules.get('')!;
  const modules = externalModules(tree.context(module));
  expect(externalEdgesOf(tree, tree.package('')!, module, modules)).toEqual([
    { sourceFile: 'main.go', module: { path: 'github.com/a/b', version: 'v1.2.0' } },
  ]);
});

it('selects versions and follows replacements as `go list -m` does', () => {
  const files: Record<string, string> = {
    'go.work':
      'go 1.24\n\nuse (\n\t./app\n\t./lib\n)\n\nreplace example.com/replaced => ./stand-in\n\nreplace example.com/pinned v1.0.0 => example.com/fork v1.0.1\n',
    'app/go.mod':
      'module example.com/app\n\ngo 1.24\n\nrequire (\n\texample.com/both v1.9.0\n\texample.com/pinned v1.0.0\n\texample.com/replaced v1.0.0\n)\n',
    'lib/go.mod':
      'module example.com/lib\n\ngo 1.24\n\nrequire (\n\texample.com/both v1.10.0\n\texample.com/moved v1.0.0\n)\n\nreplace example.com/moved => example.com/fork2 v1.0.1\n',
    'stand-in/go.mod': 'module example.com/replaced\n\ngo 1.24\n',
  };
  const proxy: Record<string, string> = {};
  for (const [path, list] of Object.entries({
    both: ['v1.9.0', 'v1.10.0'],
    pinned: ['v1.0.0'],
    moved: ['v1.0.0'],
    fork: ['v1.0.1'],
    fork2: ['v1.0.1'],
  })) {
    for (const version of list) {
      proxy[`example.com/${path}/@v/${version}.mod`] =
        `module example.com/${{ fork: 'pinned', fork2: 'moved' }[path] ?? path}\n`;
      proxy[`example.com/${path}/@v/${version}.info`] = JSON.stringify({ Version: version });
    }
  }
  const root = mkdtempSync(join(tmpdir(), 'slim-go-external-'));
  try {
    for (const [folder, texts] of [
      ['work', files],
      ['proxy', proxy],
    ] as const) {
      for (const [file, text] of Object.entries(texts)) {
        mkdirSync(dirname(join(root, folder, file)), { recursive: true });
        writeFileSync(join(root, folder, file), text);
      }
    }
    const env = {
      ...process.env,
      GOPROXY: `file://${join(root, 'proxy')}`,
      GOMODCACHE: join(root, 'cache'),
      GONOSUMDB: '*',
      GOFLAGS: '-modcacherw',
    };
    const format =
      '{{if not .Main}}{{.Path}} {{if .Replace}}{{if .Replace.Version}}{{.Replace.Path}}@{{.Replace.Version}}{{else}}local{{end}}{{else}}{{.Version}}{{end}}{{end}}';
    const listed = execFileSync('go', ['list', '-m', '-f', format, 'all'], { cwd: join(root, 'work', 'app'), env });
    const selected = listed
      .toString()
      .split('\n')
      .filter((line) => line !== '' && !line.endsWith(' local'))
      .map((line) => line.split(' '));
    expect(versions(treeOf(files), 'app')).toEqual(Object.fromEntries(selected));
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});

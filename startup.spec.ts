import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, sep } from 'node:path';

/**
 * What each entry loads before it does anything: an Nx command waits for the plugin, a task for its executor, and each
 * module costs time. Where one more is right, `npx jest startup -u` takes it in; bench/results.md has the milliseconds.
 */
const dist = join(__dirname, 'dist');
const entries = [
  'index.js',
  ...readdirSync(join(__dirname, 'executors'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => `executors/${entry.name}/executor.js`),
];

/** Own modules by their path, those of others by the package's name. */
function modulesOf(entry: string): string[] {
  const script = `require(${JSON.stringify(join(dist, entry))}); console.log(JSON.stringify(Object.keys(require.cache)))`;
  const files = JSON.parse(execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' })) as string[];
  const names = files.map((file) => {
    const [, packageName] = /.*node_modules[\\/]((?:@[^\\/]+[\\/])?[^\\/]+)/.exec(file) ?? [];
    return packageName ?? relative(dist, file).split(sep).join('/');
  });
  return [...new Set(names)].sort();
}

it.each(entries)('%s loads these modules and no others', (entry) => {
  expect(modulesOf(entry)).toMatchSnapshot();
});

it('finds projects without the devkit, which takes each command 0.1 s to load', () => {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'slim-go-startup-')));
  try {
    writeFileSync(join(root, 'go.mod'), 'module example.com/shop\n');
    writeFileSync(join(root, 'main.go'), 'package main\n');
    const script = `const { createNodes: [, find] } = require(${JSON.stringify(join(dist, 'index.js'))});
find(['go.mod'], {}, { workspaceRoot: ${JSON.stringify(root)}, nxJsonConfiguration: {} }).then((nodes) => {
  console.log(JSON.stringify([Object.keys(nodes[0][1].projects), Object.keys(require.cache).filter((file) => /@nx.devkit/.test(file))]));
});`;
    const env = { ...process.env, NX_DAEMON: 'false', NX_WORKSPACE_ROOT_PATH: root };
    expect(JSON.parse(execFileSync(process.execPath, ['-e', script], { cwd: root, env, encoding: 'utf8' }))).toEqual([
      ['.'],
      [],
    ]);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});

import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, cpSync, lstatSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cacheHits } from './support/cache-hits';
import { NpmRegistry } from './support/npm-registry';
import { Workspace } from './support/workspace';

jest.setTimeout(600_000);

/** Source of a published module, which the module proxy brings; undefined where none answers. In CI that is a failure. */
function published(module: string): string | undefined {
  const { status, stdout } = spawnSync('go', ['mod', 'download', '-json', module], { encoding: 'utf8' });
  if (status === 0) return JSON.parse(stdout).Dir;
  if (process.env.CI) throw new Error(`go mod download ${module}: ${stdout}`);
  return undefined;
}

const [program, library] = ['github.com/google/addlicense@v1.1.1', 'github.com/spf13/cobra@v1.9.1'].map(published);
const itPublished = program && library ? it : it.skip;
const main = 'package main\n\nfunc main() {}\n';
const test = (name: string) => `package ${name}\n\nimport "testing"\n\nfunc TestNothing(*testing.T) {}\n`;

const layouts: Record<string, { readonly files: Record<string, string>; readonly projects: readonly string[] }> = {
  'one module with cmd and internal': {
    files: {
      'go.mod': 'module example.com/shop\n\ngo 1.21\n',
      'cmd/api/main.go': 'package main\n\nimport "example.com/shop/internal/db"\n\nfunc main() { db.Open() }\n',
      'cmd/worker/main.go': main,
      'internal/db/db.go': 'package db\n\nfunc Open() {}\n',
      'internal/db/db_test.go': test('db'),
    },
    projects: ['api', 'shop', 'worker'],
  },
  'a module in a folder, beside npm workspaces': {
    files: {
      'package.json': '{ "name": "web", "private": true, "workspaces": ["web/*"] }\n',
      'web/site/package.json': '{ "name": "@acme/site", "version": "1.0.0" }\n',
      'backend/go.mod': 'module example.com/shop\n\ngo 1.21\n',
      'backend/main.go': main,
      'backend/main_test.go': test('main'),
    },
    projects: ['@acme/site', 'backend'],
  },
  'a go.work': {
    files: {
      'go.work': 'go 1.21\n\nuse (\n\t./apps/api\n\t./libs/greet\n)\n',
      'apps/api/go.mod': 'module example.com/api\n\ngo 1.21\n',
      'apps/api/main.go': 'package main\n\nimport "example.com/greet"\n\nfunc main() { greet.Hello() }\n',
      'libs/greet/go.mod': 'module example.com/greet\n\ngo 1.21\n',
      'libs/greet/greet.go': 'package greet\n\nfunc Hello() {}\n',
      'libs/greet/greet_test.go': test('greet'),
    },
    projects: ['api', 'greet'],
  },
  'modules without a go.work': {
    files: {
      'api/go.mod': 'module example.com/api\n\ngo 1.21\n',
      'api/main.go': main,
      'tools/gen/go.mod': 'module example.com/gen\n\ngo 1.21\n',
      'tools/gen/main.go': main,
      'tools/gen/main_test.go': test('main'),
    },
    projects: ['api', 'gen'],
  },
  'a vendored module': {
    files: {
      'go.mod': 'module example.com/shop\n\ngo 1.21\n\nrequire example.com/dep v1.0.0\n',
      'main.go': 'package main\n\nimport "example.com/dep"\n\nfunc main() { dep.Do() }\n',
      'main_test.go': test('main'),
      'vendor/modules.txt': '# example.com/dep v1.0.0\n## explicit; go 1.21\nexample.com/dep\n',
      'vendor/example.com/dep/dep.go': 'package dep\n\nfunc Do() {}\n',
    },
    projects: ['shop'],
  },
};

describe('an existing repository', () => {
  const registry = Workspace.empty();
  const workspace = Workspace.empty();
  let npm: NpmRegistry;
  let env: Record<string, string>;

  /** The repository becomes another one, on a first commit. */
  async function become(files: Record<string, string> | string, packageJson?: string): Promise<void> {
    for (const name of readdirSync(workspace.root)) {
      if (name !== 'node_modules') rmSync(workspace.path(name), { recursive: true, force: true });
    }
    if (typeof files === 'string') {
      cpSync(files, workspace.root, { recursive: true });
      // The module cache is read-only.
      makeWritable(workspace.root);
    } else for (const [name, text] of Object.entries(files)) workspace.write(name, text);
    if (packageJson !== undefined) workspace.write('package.json', packageJson);
    await workspace.run('git', ['init', '-q', '-b', 'main']);
    await workspace.run('git', ['config', 'core.excludesFile', '']);
    workspace.write('.git/info/exclude', 'node_modules\n.nx\n');
    await workspace.commit('before');
  }

  /** Files that differ from the first commit. */
  const changed = async () =>
    (await workspace.run('git', ['status', '--porcelain']))
      .split('\n')
      .map((line) => line.slice(3))
      .filter(Boolean)
      .sort();

  beforeAll(async () => {
    npm = await NpmRegistry.start(registry.pack());
    env = { npm_config_registry: npm.url, npm_config_prefer_offline: 'true' };
    workspace.write('package.json', '{ "private": true }\n');
    await workspace.run('npm', ['install', '--save-dev', '--no-audit', '--no-fund', 'nx@24'], { env });
  });
  afterAll(() => {
    npm?.stop();
    registry.remove();
    workspace.remove();
  });

  itPublished('gets all of slim-go by nx add where only Nx is: google/addlicense', async () => {
    const { nx } = JSON.parse(workspace.read('package.json')).devDependencies;
    await become(program!, `{ "private": true, "devDependencies": { "nx": "${nx}" } }\n`);
    const added = await workspace.nx(['add', 'slim-go'], { env });
    expect(added).toContain('slim-go found 1 program in 1 Go module.\n  addlicense\n');
    expect(added).toContain('Dockerfile: image of addlicense, built by a container engine (line 6: RUN)');
    expect(await changed()).toEqual(['.gitignore', 'nx.json', 'package-lock.json', 'package.json']);
    expect(Object.keys(JSON.parse(workspace.read('package.json')).devDependencies)).toEqual([
      '@nx/devkit',
      'nx',
      'slim-go',
    ]);
    // Its tests fail where root runs them, who may write anywhere.
    expect(cacheHits(await workspace.nx(['run', 'addlicense:build']))).toEqual({ build: false });
    // It configures golangci-lint, which need not be here.
    expect(cacheHits(await workspace.nx(['run', 'addlicense:lint', '--linter=vet']))).toEqual({ lint: false });
    await workspace.commit('after');
    expect(await workspace.nx(['add', 'slim-go'], { env })).not.toContain('found');
    expect(await changed()).toEqual([]);
  });

  itPublished('is a project with targets: spf13/cobra', async () => {
    await become(library!, adopted());
    const found = 'slim-go found 1 library in 1 Go module.';
    expect(await workspace.nx(['g', 'slim-go:init', '--dry-run'])).toContain(found);
    expect(await changed()).toEqual([]);
    expect(await workspace.nx(['g', 'slim-go:init'])).toContain(found);
    expect(await changed()).toEqual(['.gitignore', 'nx.json']);
    const { targets } = JSON.parse(await workspace.nx(['show', 'project', 'cobra', '--json']));
    expect(Object.keys(targets)).toEqual(expect.arrayContaining(['test', 'lint', 'format', 'tidy']));
  });

  it.each(Object.keys(layouts))('is built and tested as it lies: %s', async (layout) => {
    const { files, projects } = layouts[layout]!;
    await become(files, adopted(files['package.json']));
    expect(await workspace.nx(['g', 'slim-go:init'])).toMatch(/slim-go found \d program/);
    expect(await changed()).toEqual(['.gitignore', 'nx.json']);
    expect(JSON.parse(await workspace.nx(['show', 'projects', '--json'])).sort()).toEqual(projects);
    await workspace.nx(['run-many', '-t', 'build,test,lint']);
    await workspace.commit('after');
    expect(await workspace.nx(['g', 'slim-go:init'])).not.toContain('found');
    expect(await changed()).toEqual([]);
  });

  /** package.json with what `nx add` has put into node_modules. */
  function adopted(packageJson = '{ "private": true }'): string {
    const version = (name: string) => JSON.parse(workspace.read(`node_modules/${name}/package.json`)).version;
    const devDependencies = Object.fromEntries(['@nx/devkit', 'nx', 'slim-go'].map((name) => [name, version(name)]));
    return `${JSON.stringify({ ...JSON.parse(packageJson), devDependencies }, null, 2)}\n`;
  }

  it('is made new by create-nx-workspace --preset=slim-go', async () => {
    const args = ['acme', '--preset=slim-go', '--nxCloud=skip', '--no-interactive', '--pm=npm'];
    const folder = Workspace.empty();
    try {
      await folder.run('npm', ['exec', '--yes', '--', 'create-nx-workspace@latest', ...args], { env });
      const nx = join('node_modules', 'nx', 'dist', 'bin', 'nx.js');
      const created = await folder.run('sh', ['-c', `cd acme && node ${nx} run-many -t build,test,lint,image`]);
      expect(cacheHits(created)).toMatchObject({ build: false, test: false, lint: false, image: false });
      expect(folder.read('acme/go.mod')).toMatch(/^module example\.com\/acme\n/);
      expect(execFileSync('git', ['status', '--porcelain'], { cwd: folder.path('acme'), encoding: 'utf8' })).toBe('');
    } finally {
      folder.remove();
    }
  });
});

function makeWritable(folder: string): void {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (name === 'node_modules' || lstatSync(path).isSymbolicLink()) continue;
    const isFolder = lstatSync(path).isDirectory();
    chmodSync(path, isFolder ? 0o755 : 0o644);
    if (isFolder) makeWritable(path);
  }
}

/** Throw-away Nx workspaces with many Go apps, for slim-go and for other plugins alike, and one installation that they share. */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { installPacked } from '../scripts/commands.mjs';

const { zipSync } = createRequire(import.meta.url)('fflate');

/** Every image that a bench builds carries it: the one way to find them all again. */
export const label = `slim-go.bench=${process.pid}`;
const module = 'example.com/fleet';
const dependency = 'example.com/fleetdep';
let fleets = 0;

/** What slim-go gives to `go build`: bare go is asked for the same. */
export const goFlags = ['-trimpath', '-buildvcs=false', '-ldflags=-s -w'];

/** A folder below the system's temporary one that `remove` takes away. */
export class Folder {
  constructor(purpose) {
    this.root = realpathSync(mkdtempSync(join(tmpdir(), `slim-go-${purpose}-`)));
  }

  path(...parts) {
    return join(this.root, ...parts);
  }

  write(file, text) {
    mkdirSync(dirname(this.path(file)), { recursive: true });
    writeFileSync(this.path(file), text);
  }

  /** @returns the standard output. @throws with all output where it fails */
  run(file, args, env = {}) {
    const result = spawnSync(file, args, {
      cwd: this.root,
      env: { ...process.env, NX_TUI: 'false', NO_COLOR: '1', ...this.env, ...env },
      encoding: 'utf8',
      maxBuffer: 256 * 1024 * 1024,
    });
    if (result.error) throw result.error;
    if (result.status === 0) return result.stdout;
    throw new Error(
      `${file} ${args.join(' ')}: exit ${result.status ?? result.signal}\n${result.stdout}${result.stderr}`,
    );
  }

  remove() {
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** One node_modules, which every workspace of the same kind links to. */
export class Installation extends Folder {
  /** @param packages what npm installs; without them it is the packed slim-go with this repository's version of Nx */
  constructor(packages) {
    super('bench-install');
    this.write('package.json', JSON.stringify({ name: 'bench', private: true }));
    if (packages === undefined) installPacked(this.root);
    else this.run('npm', ['install', '--save-dev', '--no-audit', '--no-fund', '--prefer-offline', ...packages]);
    this.nx = this.path(
      'node_modules',
      'nx',
      existsSync(this.path('node_modules/nx/dist/bin/nx.js')) ? 'dist' : '',
      'bin',
      'nx.js',
    );
  }

  version(name) {
    return createRequire(this.path('package.json'))(`${name}/package.json`).version;
  }
}

/**
 * Apps that all import `libs/shared`, which imports a third-party module; each prints one line, so that what stands around
 * compiler and linker weighs most. `libs/still` is a twin of `libs/shared` that nobody edits.
 */
export class Fleet extends Folder {
  /**
   * @param layout `module`: one go.mod. `workspace`: a go.work and a go.mod for each app and library, which is what gonx and
   *   nx-go infer projects from
   * @param nxJson with the plugins
   * @param isDependent on a third-party module, for `bump`; with the layout `module` alone
   * @param dockerfile text for an app's name
   */
  constructor(
    installation,
    { apps, layout = 'module', nxJson, isDependent = false, dockerfile = prebuiltDockerfile, daemon = false },
  ) {
    super('bench-fleet');
    this.installation = installation;
    this.daemon = daemon;
    this.isDependent = isDependent;
    this.releases = 0;
    /** The text in the binaries that the last edit changed. */
    this.stamp = '';
    // Names of their own: an engine holds the images of all fleets, of two benches at once, and of somebody else.
    const prefix = `bench${process.pid}f${fleets++}a`;
    this.apps = Array.from({ length: apps }, (_, index) => `${prefix}${index}`);
    this.env = {
      NX_DAEMON: String(daemon),
      // A module proxy of its own, in files: a version that nobody has asked for before, whenever one is needed.
      GOPROXY: `file://${this.path('proxy')}`,
      GONOSUMDB: dependency,
      GOFLAGS: '-modcacherw',
      GOMODCACHE: this.path('proxy', 'cache'),
    };
    symlinkSync(installation.path('node_modules'), this.path('node_modules'));
    this.write('package.json', JSON.stringify({ name: 'bench', private: true }));
    this.write('.gitignore', 'node_modules\n.nx\ndist\nproxy\n');
    this.write('.dockerignore', 'node_modules\n.nx\n**/dist\nproxy\n');
    this.write('nx.json', JSON.stringify(nxJson));
    this.writeLibrary('shared');
    this.writeLibrary('still');
    for (const app of this.apps) {
      this.writeApp(app);
      this.write(`apps/${app}/Dockerfile`, dockerfile(app));
    }
    if (layout === 'module') {
      this.write('go.mod', `module ${module}\n\ngo 1.24\n`);
      if (isDependent) this.bump();
    } else {
      const folders = ['libs/shared', 'libs/still', ...this.apps.map((app) => `apps/${app}`)];
      for (const folder of folders) this.write(`${folder}/go.mod`, `module ${module}/${folder}\n\ngo 1.24\n`);
      this.write('go.work', `go 1.24\n\nuse (\n${folders.map((folder) => `\t./${folder}\n`).join('')})\n`);
    }
  }

  nx(...args) {
    return this.run(process.execPath, [this.installation.nx, ...args]);
  }

  /** `nx run-many` of a target, over all apps. */
  all(target, ...args) {
    return this.nx('run-many', '-t', target, ...args);
  }

  /** One line of the first app. */
  editApp() {
    this.stamp = newStamp();
    this.writeApp(this.apps[0]);
  }

  /** One line of the library that all apps import: every binary becomes one that was never built before. */
  editLibrary() {
    this.stamp = newStamp();
    this.writeLibrary('shared');
  }

  /** The third-party module in a version that was never seen before, as `go get` leaves go.mod and go.sum. */
  bump() {
    this.stamp = newStamp();
    const version = `v1.${this.releases++}.0`;
    const folder = `proxy/${dependency}/@v`;
    const goMod = `module ${dependency}\n\ngo 1.24\n`;
    const source = `package fleetdep\n\n// Version is what was asked for.\nconst Version = "${this.stamp}"\n`;
    const files = { 'go.mod': goMod, 'fleetdep.go': source };
    const named = Object.entries(files).map(([name, text]) => [`${dependency}@${version}/${name}`, Buffer.from(text)]);
    this.write(`${folder}/${version}.mod`, goMod);
    this.write(`${folder}/${version}.info`, JSON.stringify({ Version: version, Time: new Date().toISOString() }));
    this.write(`${folder}/${version}.zip`, zipSync(Object.fromEntries(named)));
    this.run('go', ['get', `${dependency}@${version}`]);
  }

  /** Nothing that Nx, a plugin or Go made of these sources is left; Go still has its standard library. */
  forget() {
    if (this.daemon) this.nx('daemon', '--stop');
    for (const folder of ['.nx', 'dist', ...this.apps.map((app) => `apps/${app}/dist`)]) {
      rmSync(this.path(folder), { recursive: true, force: true });
    }
    this.stamp = newStamp();
    this.writeLibrary('shared');
    for (const app of this.apps) this.writeApp(app);
  }

  writeApp(name) {
    this.write(
      `apps/${name}/main.go`,
      `// Command ${name} is generated.
package main

import (
	"fmt"

	"${module}/libs/shared"
	"${module}/libs/still"
)

func main() {
	fmt.Println(shared.Greet("${name}"), still.Greet("${this.stamp}"))
}
`,
    );
  }

  writeLibrary(name) {
    const isDependent = this.isDependent && name === 'shared';
    this.write(
      `libs/${name}/${name}.go`,
      `// Package ${name} is generated.
package ${name}

${isDependent ? `import "${dependency}"\n\n` : ''}// Greet greets.
func Greet(name string) string {
	return "Hello, " + name + "${this.stamp}"${isDependent ? ' + fleetdep.Version' : ''}
}
`,
    );
  }

  /**
   * Targets in the image of slim-go's whose executor only writes a small file: what Nx itself costs. They are cached, all
   * three, and read the twins of what a library's edit and a new dependency change, so that both leave them cached.
   */
  addNoOps() {
    this.write('noop/package.json', JSON.stringify({ name: 'noop', executors: './executors.json' }));
    const noop = { implementation: './executor.js', batchImplementation: './batch.js', schema: './schema.json' };
    this.write('noop/executors.json', JSON.stringify({ executors: { noop } }));
    this.write('noop/schema.json', JSON.stringify({ type: 'object', properties: { output: { type: 'string' } } }));
    this.write(
      'noop/executor.js',
      `const { mkdirSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');
exports.default = async ({ output }, { root }) => {
  mkdirSync(join(root, output), { recursive: true });
  writeFileSync(join(root, output, 'result'), String(process.hrtime.bigint()));
  return { success: true };
};
`,
    );
    this.write(
      'noop/batch.js',
      `const { default: run } = require('./executor.js');
exports.default = async (graph, inputs, overrides, context) => {
  const results = {};
  for (const id of Object.keys(graph.tasks)) results[id] = { ...(await run(inputs[id], context)), terminalOutput: '' };
  return results;
};
`,
    );
    this.nx('graph', '--file=dist/graph.json');
    const { nodes } = JSON.parse(readFileSync(this.path('dist', 'graph.json'), 'utf8')).graph;
    this.write('still.mod', '');
    this.write('still.sum', '');
    for (const app of this.apps) {
      const { build, image } = nodes[app].data.targets;
      const noop = (name, inputs, rest) => ({
        executor: './noop:noop',
        cache: true,
        inputs: JSON.parse(
          JSON.stringify(inputs)
            .replaceAll('libs/shared', 'libs/still')
            .replace(/go\.(mod|sum)/g, 'still.$1'),
        ),
        options: { output: `apps/${app}/dist/noop-${name}` },
        outputs: [`{projectRoot}/dist/noop-${name}`],
        ...rest,
      });
      const own = image.inputs.filter((input) => !input.dependentTasksOutputFiles);
      const outputsOf = (name) => [{ dependentTasksOutputFiles: `**/noop-${name}/**/*` }];
      const targets = {
        'noop-build': noop('build', build.inputs),
        'noop-image': noop('image', [...own, ...outputsOf('build')], { dependsOn: ['noop-build'] }),
        'noop-docker-build': noop('docker-build', [...outputsOf('image'), { externalDependencies: [] }], {
          dependsOn: ['noop-image'],
        }),
      };
      this.write(`apps/${app}/project.json`, JSON.stringify({ name: app, targets }));
    }
  }

  remove() {
    if (this.daemon) this.nx('daemon', '--stop');
    super.remove();
  }
}

/** Go keeps what it compiled from one bench to the next: an edit must be new to it. */
const newStamp = () => `${Date.now()}-${process.hrtime.bigint()}`;

function prebuiltDockerfile(app) {
  return `FROM scratch
ARG TARGETPLATFORM
LABEL ${label}
COPY dist/\${TARGETPLATFORM}/${app} /${app}
ENTRYPOINT ["/${app}"]
`;
}

/** Whatever carries the label leaves the engine. */
export function removeImages() {
  const { stdout } = spawnSync('docker', ['images', '-a', '-q', '--filter', `label=${label}`], { encoding: 'utf8' });
  const ids = [...new Set((stdout ?? '').split('\n').filter(Boolean))];
  while (ids.length > 0) spawnSync('docker', ['rmi', '-f', ...ids.splice(0, 200)]);
}

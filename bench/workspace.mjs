/** A throw-away Nx workspace with the packed slim-go, two apps, and executors that do nothing to compare it with. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { installPacked } from '../scripts/commands.mjs';

/** The text in every template's main.go that an edit changes: it reaches the binary. */
const editable = 'Hello, World!';

export class BenchWorkspace {
  constructor() {
    this.root = realpathSync(mkdtempSync(join(tmpdir(), 'slim-go-bench-')));
    // Image names of a bench of its own: two may run at once, and an engine may hold a "hello" of somebody else.
    this.apps = { hello: `bench${process.pid}-hello`, http: `bench${process.pid}-http` };
    this.edits = 0;
    /** IDs of all images that a bench has left in the engine. */
    this.imageIds = new Set();
  }

  /** Packs what dist/ holds, installs it with this repository's version of Nx, and generates the apps. */
  create() {
    this.write('package.json', JSON.stringify({ name: 'bench', private: true }));
    this.write('nx.json', '{}\n');
    installPacked(this.root);
    this.nx('g', 'slim-go:app', this.apps.hello, '--template=cli');
    this.nx('g', 'slim-go:app', this.apps.http, '--template=http');
    this.sources = { hello: this.read(this.apps.hello, 'main.go'), http: this.read(this.apps.http, 'main.go') };
    this.addNoOps();
  }

  /**
   * Targets with slim-go's inputs, cache and edges whose executor does nothing but write one small file: what Nx itself costs.
   * `noop-docker-build` ends a chain of three of them; `noop-after-image` stands in the place of docker-build alone.
   */
  addNoOps() {
    this.write('noop/package.json', JSON.stringify({ name: 'noop', executors: './executors.json' }));
    const executors = { noop: { implementation: './executor.js', schema: './schema.json' } };
    this.write('noop/executors.json', JSON.stringify({ executors }));
    this.write('noop/schema.json', JSON.stringify({ type: 'object', properties: { output: { type: 'string' } } }));
    this.write(
      'noop/executor.js',
      `const { mkdirSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');
exports.default = async ({ output }, { root }) => {
  if (output) {
    mkdirSync(join(root, output), { recursive: true });
    writeFileSync(join(root, output, 'result'), String(process.hrtime.bigint()));
  }
  return { success: true };
};
`,
    );
    const executor = './noop:noop';
    for (const app of Object.values(this.apps)) {
      const { targets } = JSON.parse(this.nx('show', 'project', app, '--json'));
      const folder = (name) => `${app}/dist/noop-${name}`;
      const cached = (name, rest) => ({
        executor,
        cache: true,
        options: { output: folder(name) },
        outputs: [`{workspaceRoot}/${folder(name)}`],
        ...rest,
      });
      const project = {
        name: app,
        targets: {
          'noop-build': cached('build', { inputs: targets.build.inputs }),
          'noop-image': cached('image', {
            dependsOn: ['noop-build'],
            inputs: [
              ...targets.image.inputs.filter((input) => !input.dependentTasksOutputFiles),
              { dependentTasksOutputFiles: '**/noop-build/**/*' },
            ],
          }),
          'noop-docker-build': { executor, dependsOn: ['noop-image'] },
          'noop-after-image': { executor, dependsOn: ['image'] },
        },
      };
      this.write(`${app}/project.json`, JSON.stringify(project, null, 2));
    }
  }

  /** Runs Nx without its daemon; its standard output. */
  nx(...args) {
    return this.run(process.execPath, [join(this.root, 'node_modules', 'nx', 'dist', 'bin', 'nx.js'), ...args]);
  }

  run(file, args, env = {}) {
    const result = spawnSync(file, args, {
      cwd: this.root,
      env: { ...process.env, NX_DAEMON: 'false', NX_TUI: 'false', NO_COLOR: '1', ...env },
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
    });
    if (result.error) throw result.error;
    if (result.status === 0) return result.stdout;
    throw new Error(`${file} ${args.join(' ')}: exit ${result.status}\n${result.stdout}${result.stderr}`);
  }

  dockerBuild(app) {
    const output = this.nx('run', `${this.apps[app]}:docker-build`);
    this.imageIds.add(this.record(app).platforms[0].imageId);
    return output;
  }

  record(app) {
    return JSON.parse(this.read(this.apps[app], 'dist', 'image', 'image.json'));
  }

  /** Changes one line of an app so that its binary becomes one that was never built before. */
  edit(app) {
    const source = this.sources[app];
    if (!source.includes(editable)) throw new Error(`main.go of ${app} doesn't hold "${editable}" any more`);
    this.write(`${this.apps[app]}/main.go`, source.replace(editable, `${editable} ${Date.now()} ${++this.edits}`));
  }

  path(...parts) {
    return join(this.root, ...parts);
  }

  read(...parts) {
    return readFileSync(this.path(...parts), 'utf8');
  }

  write(file, text) {
    mkdirSync(dirname(this.path(file)), { recursive: true });
    writeFileSync(this.path(file), text);
  }

  /** The folder, and from the engine the images that the benches have built there. */
  remove() {
    if (this.imageIds.size > 0) spawnSync('docker', ['rmi', '-f', ...this.imageIds]);
    rmSync(this.root, { recursive: true, force: true });
  }
}

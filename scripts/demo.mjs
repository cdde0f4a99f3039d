// `npm run demo`: from a fresh clone to a running image, in a throw-away workspace.
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { install, mustRun, root, run } from './commands.mjs';

const started = Date.now();
const bold = process.stdout.isTTY && !process.env.NO_COLOR ? (text) => `\u001b[1m${text}\u001b[0m` : (text) => text;
const say = (text) => console.log(`\n${bold(text)}`);
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(2)} MB`;

if (run('go', ['version'], { quiet: true }).status !== 0) {
  console.error(
    'The demo compiles a Go program, and no `go` is on the PATH.\n  Install Go: https://go.dev/doc/install',
  );
  process.exit(1);
}

say('1. Install, compile and pack slim-go');
install();
mustRun(process.execPath, [join(root, 'scripts', 'build.mjs')]);
const workspace = mkdtempSync(join(tmpdir(), 'slim-go-demo-'));
process.on('exit', () => rmSync(workspace, { recursive: true, force: true }));
process.on('SIGINT', () => process.exit(130));
const pack = ['pack', '--json', '--ignore-scripts', '--pack-destination', workspace];
const [packed] = Object.values(JSON.parse(mustRun('npm', pack, { quiet: true }).stdout));
console.log(`${packed.filename}: ${(packed.size / 1000).toFixed(1)} KB`);

say('2. A throw-away Nx workspace with the packed slim-go in it');
writeFileSync(join(workspace, 'package.json'), JSON.stringify({ name: 'acme', private: true }));
writeFileSync(join(workspace, 'nx.json'), '{}\n');
const nxVersion = JSON.parse(readFileSync(join(root, 'node_modules', 'nx', 'package.json'), 'utf8')).version;
const packages = [`nx@${nxVersion}`, '@nx/devkit@24', join(workspace, packed.filename)];
mustRun('npm', ['install', '--save-dev', '--no-audit', '--no-fund', ...packages], { cwd: workspace, quiet: true });
const nx = (...args) => {
  console.log(bold(`\n$ nx ${args.join(' ')}`));
  mustRun(process.execPath, [join(workspace, 'node_modules', 'nx', 'dist', 'bin', 'nx.js'), ...args], {
    cwd: workspace,
    env: { NX_DAEMON: 'false' },
  });
};

say('3. Generate an app and build its image, without any daemon');
nx('g', 'slim-go:app', 'hello');
nx('run', 'hello:image');

const record = JSON.parse(readFileSync(join(workspace, 'hello', 'dist', 'image', 'image.json'), 'utf8'));
const naive = join(workspace, process.platform === 'win32' ? 'naive.exe' : 'naive');
mustRun('go', ['build', '-o', naive, './hello'], { cwd: workspace });
say(
  `The image is ${megabytes(record.platforms[0].sizeBytes)}; \`go build\` without flags makes a binary of ${megabytes(statSync(naive).size)}.`,
);

say('4. Hand it to the container engine and run it');
nx('run', 'hello:docker-build');
const { findEngine } = await import(join(root, 'dist', 'docker', 'engine.js')).then(
  (module) => module.default ?? module,
);
if (await findEngine({ env: process.env, home: homedir(), platform: process.platform })) nx('run', 'hello:docker-run');
else console.log('No container engine answers here, so nothing is run. The image is complete all the same.');

say('5. Again: nothing is compiled and nothing is assembled');
nx('run', 'hello:docker-build');

say(`Done in ${Math.round((Date.now() - started) / 1000)} s. Three things to try in a workspace of your own:`);
console.log(`  nx g slim-go:app api --template=http    a server with health check and graceful shutdown
  nx run api:docker-run --ports=8080:8080 load and run it; Ctrl-C stops it
  nx affected -t docker-build             only the images that a change touches`);

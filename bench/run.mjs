/**
 * `npm run bench`: measures what this machine can, says what was skipped and why, and writes bench/results.md.
 *
 *     node bench/run.mjs [--no-compile] [--rounds=15] [--only=assembly,cached,...] [--apps=1,10,50,200] [--full] [--into=folder]
 *
 * With --only nothing is written but --into a folder: it is for looking closer. --apps are the sizes of the section fleet, and
 * --full measures the tutorial's way with 50 apps too, which takes a quarter of an hour.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { arch, cpus, loadavg, release, totalmem, type } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { install, mustRun, root, run } from '../scripts/commands.mjs';
import { assembly } from './assembly.mjs';
import { nothingChanged, oneLineChange } from './docker-build.mjs';
import { fleet } from './fleet.mjs';
import { graph } from './graph.mjs';
import { imageSizes } from './image-size.mjs';
import { push, pushNeeds } from './push.mjs';
import { rivals } from './rivals.mjs';
import { startup } from './startup.mjs';
import { tutorial, tutorialNeeds } from './tutorial.mjs';
import { BenchWorkspace } from './workspace.mjs';

const { values: options } = parseArgs({
  options: {
    'no-compile': { type: 'boolean', default: false },
    rounds: { type: 'string', default: '15' },
    only: { type: 'string', default: '' },
    apps: { type: 'string', default: '1,10,50,200' },
    full: { type: 'boolean', default: false },
    into: { type: 'string' },
  },
});
const rounds = Number(options.rounds);
const only = options.only.split(',').filter((name) => name !== '');

install();
if (!options['no-compile']) mustRun(process.execPath, [join(root, 'scripts', 'build.mjs')]);

const versionOf = (command, ...args) => {
  try {
    const { status, stdout } = run(command, args, { quiet: true });
    return status === 0 ? stdout.trim() : undefined;
  } catch {
    return undefined;
  }
};
const go = versionOf('go', 'env', 'GOVERSION');
const engine = versionOf('docker', 'version', '--format', '{{.Server.Version}}');
const packageVersion = (...parts) => JSON.parse(readFileSync(join(root, ...parts, 'package.json'), 'utf8')).version;

const needsGo = () => (go === undefined ? 'no `go` on the PATH' : undefined);
const needsEngine = () =>
  needsGo() ?? (engine === undefined ? 'no docker command, or none that reaches an engine' : undefined);

let workspace;
const inWorkspace = (measure) => (count) => {
  if (workspace === undefined) {
    workspace = new BenchWorkspace();
    workspace.create();
  }
  return measure(workspace, count);
};
const fleetOptions = { full: options.full, sizesWanted: options.apps.split(',').map(Number) };
const sections = [
  {
    name: 'fleet',
    title: 'Many apps',
    needs: needsEngine,
    measure: (count) => fleet(count, fleetOptions),
    rounds: Math.max(1, Math.ceil(rounds / 5)),
  },
  {
    name: 'rivals',
    title: 'Other Nx plugins',
    needs: needsGo,
    measure: rivals,
    rounds: Math.max(1, Math.ceil(rounds / 5)),
  },
  { name: 'startup', title: 'What loading costs', needs: () => undefined, measure: startup, rounds },
  { name: 'assembly', title: 'Assembly of image.tar', needs: () => undefined, measure: assembly, rounds: rounds * 3 },
  { name: 'size', title: 'Image size', needs: needsGo, measure: inWorkspace(imageSizes) },
  { name: 'cached', title: 'Nothing changed', needs: needsEngine, measure: inWorkspace(nothingChanged), rounds },
  { name: 'edit', title: 'One line changed', needs: needsEngine, measure: inWorkspace(oneLineChange), rounds },
  {
    name: 'tutorial',
    title: "The tutorial's multi-stage build",
    needs: () => needsEngine() ?? tutorialNeeds(),
    measure: inWorkspace(tutorial),
    rounds: Math.max(2, Math.ceil(rounds / 4)),
  },
  {
    name: 'push',
    title: 'To a registry',
    needs: () => needsEngine() ?? pushNeeds(),
    measure: inWorkspace(push),
    rounds: Math.max(3, Math.ceil(rounds / 3)),
  },
  {
    name: 'graph',
    title: 'The graph',
    needs: () => undefined,
    measure: graph,
    rounds: Math.max(3, Math.ceil(rounds / 3)),
  },
];

const started = new Date();
const load = () => loadavg()[0].toFixed(1);
const texts = [];
const plots = [];
process.on('exit', () => workspace?.remove());
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(130));
for (const section of sections) {
  if (only.length > 0 && !only.includes(section.name)) continue;
  const missing = section.needs();
  const before = load();
  const measured = missing === undefined ? await section.measure(section.rounds) : `Skipped: ${missing}.`;
  const body = typeof measured === 'string' ? measured : measured.text;
  if (typeof measured !== 'string') plots.push(...measured.plots);
  const turns = section.rounds === undefined || missing !== undefined ? '' : `${section.rounds} rounds, `;
  const text = `## ${section.title}\n\n${body}\n\n${turns}load average ${before} before and ${load()} after.`;
  console.log(`\n${text}`);
  texts.push(text);
}

const minutes = ((Date.now() - started) / 60_000).toFixed(1);
const head = `# What slim-go costs

Written by \`${['npm run bench', ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(' ')}\` on ${started.toISOString().slice(0, 10)}, in ${minutes} minutes.

- ${cpus().length} x ${cpus()[0].model}, ${(totalmem() / 2 ** 30).toFixed(1)} GiB, ${type()} ${release()} ${arch()}
- slim-go ${packageVersion()}, Node ${process.versions.node}, Nx ${packageVersion('node_modules', 'nx')}, Go ${go?.replace(/^go/, '') ?? '(none)'}, Docker ${engine ?? '(none)'}

Every number is a median, with the least and the most. What is compared runs in turns within one run, and differences and
ratios are taken round by round; a row called noise compares a thing with itself.`;
const into = options.into ?? (only.length === 0 ? join(root, 'bench') : undefined);
if (into !== undefined) {
  mkdirSync(into, { recursive: true });
  writeFileSync(join(into, 'results.md'), `${[head, ...texts].join('\n\n')}\n`);
  for (const { file, svg } of plots) writeFileSync(join(into, file), svg);
  console.log(`\nWritten: ${join(into, 'results.md')}`);
}

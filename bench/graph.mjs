/**
 * What the graph costs: the plugin's own time, and whole Nx commands beside the same workspace with written project.json
 * files and no plugin.
 *
 * Started with `--once <workspace>` it computes the graph of one workspace once and prints the milliseconds.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
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
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { root } from '../scripts/commands.mjs';
import { writeGoWorkspace } from './go-workspace.mjs';
import { milliseconds, ratio, spread, table, takeTurns, timed } from './samples.mjs';

const self = fileURLToPath(import.meta.url);

/** Both layouts at both sizes; Markdown. */
export async function graph(rounds) {
  const rows = [];
  for (const projects of [500, 5000]) {
    // Each round of the larger ones takes half a minute.
    const samples = projects > 1000 ? Math.min(rounds, 2) : rounds;
    for (const layout of ['module', 'workspace']) {
      const row = await measure(projects, layout, samples);
      console.log(row.join(' | '));
      rows.push(row);
    }
  }
  return `${table(
    [
      'projects (Go files), layout',
      'plugin, nothing kept',
      'plugin, after one edit',
      'plugin, after a new import',
      '`nx show projects`',
      'over static project.json (goal: 1.15)',
      '`nx affected`',
      'over static project.json (goal: 1.15)',
      'peak memory over static',
    ],
    rows,
  )}\n\nGoals for the plugin: 150 and 30 ms with 500 projects, 1500 and 150 ms with 5000. \`nx affected -t build\` follows one edit and writes its task graph; static project.json files know no edges between Go projects. Each sample is a process of its own, whose code is not yet compiled. Nx daemon off, plugins not isolated.`;
}

async function measure(projects, layout, rounds) {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'slim-go-graph-')));
  try {
    const [plugged, fixed] = [join(folder, 'plugged'), join(folder, 'static')];
    mkdirSync(plugged);
    const made = writeGoWorkspace(plugged, { projects, layout });
    writeFileSync(join(plugged, 'package.json'), '{"name":"bench","private":true}');
    writeFileSync(join(plugged, '.gitignore'), 'node_modules\n.nx\n');
    cpSync(plugged, fixed, { recursive: true });
    writeFileSync(join(plugged, 'nx.json'), JSON.stringify({ plugins: [join(root, 'dist', 'index.js')] }));
    writeFileSync(join(fixed, 'nx.json'), '{}');
    for (const workspace of [plugged, fixed]) symlinkSync(join(root, 'node_modules'), join(workspace, 'node_modules'));
    const { targets } = once(plugged, '--targets');
    for (const [dir, project] of Object.entries(targets)) {
      mkdirSync(join(fixed, dir), { recursive: true });
      writeFileSync(join(fixed, dir, 'project.json'), JSON.stringify(project));
    }
    for (const workspace of [plugged, fixed]) {
      const git = (...args) => execFileSync('git', args, { cwd: workspace });
      git('init', '-q');
      git('add', '-A');
      git('-c', 'user.name=bench', '-c', 'user.email=bench@example.com', 'commit', '-qm', 'All');
    }
    const edited = made.at(-1).main;
    const show = (workspace) => () => timed(() => nx(workspace, 'show', 'projects'));
    const affected = (workspace) => () => {
      appendFileSync(join(workspace, edited), '// edited\n');
      return timed(() =>
        nx(workspace, 'affected', '-t', 'build', '--base=HEAD', `--graph=${join(folder, 'tasks.json')}`),
      );
    };
    const samples = await takeTurns(rounds, {
      cold: () => {
        rmSync(join(plugged, '.nx'), { recursive: true, force: true });
        return once(plugged).milliseconds;
      },
      edit: () => {
        appendFileSync(join(plugged, edited), '// edited\n');
        return once(plugged).milliseconds;
      },
      imported: () => {
        const file = join(plugged, edited);
        writeFileSync(file, readFileSync(file, 'utf8').replace('import (\n', 'import (\n\t_ "os"\n'));
        return once(plugged).milliseconds;
      },
      plugged: show(plugged),
      fixed: show(fixed),
      pluggedAffected: affected(plugged),
      fixedAffected: affected(fixed),
    });
    const overMiB = (peakKiB(plugged) - peakKiB(fixed)) / 1024;
    return [
      `${projects} (${projects * 5}), ${layout === 'module' ? 'one module' : 'go.work'}`,
      milliseconds(samples.cold),
      milliseconds(samples.edit),
      milliseconds(samples.imported),
      milliseconds(samples.plugged),
      spread(ratio(samples.plugged, samples.fixed)),
      milliseconds(samples.pluggedAffected),
      spread(ratio(samples.pluggedAffected, samples.fixedAffected)),
      Number.isNaN(overMiB) ? 'not measured' : `${overMiB.toFixed(0)} MiB`,
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const environment = { NX_DAEMON: 'false', NX_ISOLATE_PLUGINS: 'false', NO_COLOR: '1' };
const nxScript = join(root, 'node_modules', 'nx', 'dist', 'bin', 'nx.js');

function nx(cwd, ...args) {
  const options = {
    cwd,
    env: { ...process.env, ...environment },
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'pipe'],
  };
  execFileSync(process.execPath, [nxScript, ...args], options);
}

function once(workspace, ...args) {
  const env = { ...process.env, ...environment, NX_WORKSPACE_ROOT_PATH: workspace };
  return JSON.parse(
    execFileSync(process.execPath, [self, '--once', workspace, ...args], { cwd: workspace, env, maxBuffer: 1 << 30 }),
  );
}

/** Of `nx show projects`; NaN where GNU time is not there to tell. */
function peakKiB(cwd) {
  const args = ['-f', '%M', process.execPath, nxScript, 'show', 'projects'];
  const { stderr } = spawnSync('/usr/bin/time', args, {
    cwd,
    env: { ...process.env, ...environment },
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  return Number(stderr?.trim().split('\n').at(-1) ?? Number.NaN);
}

async function computeOnce(workspace, withTargets) {
  const require = createRequire(join(root, 'package.json'));
  const { globAsync } = require('@nx/devkit');
  const plugin = require('./dist/plugin/index.js');
  // Nx has its list of files before it asks a plugin.
  const modules = await globAsync({ root: workspace, listChanges: () => [] }, ['**/go.mod']);
  const start = performance.now();
  const context = { workspaceRoot: workspace, nxJsonConfiguration: {} };
  const results = await plugin.createNodes[1](modules, {}, context);
  const found = results.flatMap(([, { projects }]) => Object.entries(projects));
  const projects = Object.fromEntries(found.map(([, project]) => [project.name, project]));
  await plugin.createDependencies({}, { ...context, projects, externalNodes: {} });
  const milliseconds = performance.now() - start;
  console.log(JSON.stringify({ milliseconds, ...(withTargets && { targets: Object.fromEntries(found) }) }));
}

if (process.argv[1] === self && process.argv[2] === '--once') {
  await computeOnce(process.argv[3], process.argv.includes('--targets'));
}

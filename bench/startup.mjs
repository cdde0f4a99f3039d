/** What loading each entry costs: the plugin, which every Nx command loads, and the executors, which a task's process loads. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../scripts/commands.mjs';
import { less, milliseconds, table, takeTurns, timed } from './samples.mjs';

/** Each sample is a process of its own. */
export async function startup(rounds) {
  const { executors } = JSON.parse(readFileSync(join(root, 'executors.json'), 'utf8'));
  // A batch implementation is a function of the same file.
  const entries = Object.entries(executors).map(([name, { implementation }]) => [`executor ${name}`, implementation]);
  const codes = {
    '`node -e 0`': '0',
    'the same again: noise': '0',
    '@nx/devkit': "require('@nx/devkit')",
    dockerode: "require('dockerode')",
    'the plugin': "require('./dist/index.js')",
    ...Object.fromEntries(entries.map(([name, file]) => [name, `require('${file}')`])),
  };
  const measurements = Object.entries(codes).map(([name, code]) => [
    name,
    () => timed(() => execFileSync(process.execPath, ['-e', code], { cwd: root })),
  ]);
  const samples = await takeTurns(rounds, Object.fromEntries(measurements));
  const bare = samples['`node -e 0`'];
  return table(
    ['a process that loads', 'time', 'over `node -e 0`'],
    Object.entries(samples).map(([name, own]) => [
      name,
      milliseconds(own),
      own === bare ? '' : milliseconds(less(own, bare)),
    ]),
  );
}

/** What processes take, as /proc tells it: memory of a command with all that it starts, sampled; CPU of the engine. Linux alone. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';

const node = realpathSync(process.execPath);

/** Why it can't be measured here; undefined where it can. */
export function memoryNeeds() {
  return process.platform === 'linux' ? undefined : 'memory of a process tree is read from /proc';
}

/**
 * Runs a command that must succeed.
 * @returns {Promise<{nodeMiB: number, allMiB: number}>} the peaks of all its node processes together and of all processes;
 *   what processes share is counted once (Pss)
 */
export function peakMemory(file, args, { cwd, env }) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
    const output = [];
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => output.push(chunk));
    const peak = { nodeMiB: 0, allMiB: 0 };
    const timer = setInterval(() => {
      const now = { nodeMiB: 0, allMiB: 0 };
      for (const { isNode, pssKiB } of treeOf(child.pid)) {
        now.allMiB += pssKiB / 1024;
        if (isNode) now.nodeMiB += pssKiB / 1024;
      }
      for (const key of Object.keys(peak)) peak[key] = Math.max(peak[key], now[key]);
    }, 100);
    child.on('error', reject);
    child.on('close', (code) => {
      clearInterval(timer);
      if (code === 0) resolve(peak);
      else reject(new Error(`${args.join(' ')}: exit ${code}\n${Buffer.concat(output)}`));
    });
  });
}

/** Milliseconds of CPU that the Docker engine of this machine has taken, with all that it started; undefined where none is seen. */
export function engineCpu() {
  if (process.platform !== 'linux') return undefined;
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const [, name, rest] = /^\d+ \((.*)\) (.*)/s.exec(orEmpty(() => readFileSync(`/proc/${pid}/stat`, 'utf8'))) ?? [];
    // Fields 14 to 17: its own time and that of the children it waited for, in ticks of 10 ms.
    if (name === 'dockerd') {
      return rest
        .split(' ')
        .slice(11, 15)
        .reduce((sum, ticks) => sum + 10 * Number(ticks), 0);
    }
  }
  return undefined;
}

function treeOf(root) {
  const parents = new Map();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    // pid (name, which may hold anything) state parent ...
    const parent = /^\d+ \(.*\) \S (\d+)/s.exec(orEmpty(() => readFileSync(`/proc/${pid}/stat`, 'utf8')))?.[1];
    parents.set(Number(pid), Number(parent));
  }
  const belongs = (pid) => {
    for (let at = pid; at > 1; at = parents.get(at)) if (at === root) return true;
    return false;
  };
  return [...parents.keys()].filter(belongs).map((pid) => {
    const memory = orEmpty(() => readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'));
    const isNode = orEmpty(() => readlinkSync(`/proc/${pid}/exe`)) === node;
    return { isNode, pssKiB: Number(/^Pss:\s+(\d+)/m.exec(memory)?.[1] ?? 0) };
  });
}

/** A process may end between the listing and the reading. */
function orEmpty(read) {
  try {
    return read();
  } catch {
    return '';
  }
}

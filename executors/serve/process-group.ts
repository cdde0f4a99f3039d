import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

const pollMs = 20;
/** Even a killed process takes a moment; one that the kernel can't end is not waited for any longer. */
const killedMs = 2000;

/**
 * Ends a process that leads a group of its own, and all that it started: asks with SIGTERM, and kills what is left after a
 * while. On Windows, which has no such signal, it is killed at once.
 * @returns when none of it is left: whether it had to be killed
 */
export async function endGroup(leader: number, timeoutMs: number): Promise<boolean> {
  if (process.platform === 'win32') {
    const kill = spawn('taskkill', ['/pid', String(leader), '/t', '/f'], { stdio: 'ignore', windowsHide: true });
    await new Promise((done) => kill.on('close', done).on('error', done));
    return false;
  }
  signalGroup(leader, 'SIGTERM');
  if (await isGone(leader, timeoutMs)) return false;
  signalGroup(leader, 'SIGKILL');
  await isGone(leader, killedMs);
  return true;
}

async function isGone(leader: number, timeoutMs: number): Promise<boolean> {
  const until = performance.now() + timeoutMs;
  while (isAlive(leader)) {
    if (performance.now() >= until) return false;
    await delay(pollMs);
  }
  return true;
}

function signalGroup(leader: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-leader, signal);
  } catch {
    // It has ended by itself.
  }
}

function isAlive(group: number): boolean {
  try {
    process.kill(-group, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  // What has ended and has nobody to collect its exit code, as in a container without an init, counts for kill.
  return process.platform !== 'linux' || readdirSync('/proc').some((pid) => /^\d/.test(pid) && runsIn(group, pid));
}

/** https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
function runsIn(group: number, pid: string): boolean {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name, in parentheses, may hold anything.
    const [state, , processGroup] = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return Number(processGroup) === group && state !== 'Z' && state !== 'X';
  } catch {
    return false;
  }
}

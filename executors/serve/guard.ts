import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { endGroup } from './process-group';

/** The guard's end of the pipe. */
const pipeFd = 3;

/**
 * A process beside this one that tidies up when this one can't: it was killed, or has crashed. It waits for the end of a
 * pipe that only this process holds open.
 */
export class Guard {
  private readonly pipe: Socket;

  /**
   * @param folder to be removed
   * @param stopTimeoutMs as in `endGroup`
   */
  constructor(folder: string, stopTimeoutMs: number) {
    // Nx ends a target's tree of processes leaf by leaf: the guard must not be in it, so it is started by one that is gone.
    const starter = spawn(process.execPath, [__filename, 'start', folder, String(stopTimeoutMs)], {
      cwd: tmpdir(),
      // A debugger's port, for one, is not the guard's.
      env: { ...process.env, NODE_OPTIONS: '' },
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
      windowsHide: true,
    });
    starter.on('error', () => undefined);
    this.pipe = starter.stdio[pipeFd] as Socket;
    // Whoever killed the guard wants none.
    this.pipe.on('error', () => undefined);
  }

  /** Says whom to end: the leader of a process group, 0 for nobody. */
  watch(leader: number): void {
    this.pipe.write(`${leader}\n`);
  }

  close(): void {
    this.watch(0);
    this.pipe.end();
  }
}

function start(args: readonly string[]): void {
  spawn(process.execPath, [__filename, 'guard', ...args], {
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore', pipeFd],
    windowsHide: true,
  }).unref();
}

function guard(folder: string, stopTimeoutMs: number): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => undefined);
  let text = '';
  const pipe = new Socket({ fd: pipeFd });
  pipe.on('data', (chunk) => {
    text += chunk.toString('latin1');
  });
  pipe.on('error', () => undefined);
  pipe.on('close', async () => {
    const leader = Number(text.trimEnd().split('\n').at(-1));
    if (leader > 0) await endGroup(leader, stopTimeoutMs);
    rmSync(folder, { recursive: true, force: true });
    process.exit();
  });
}

if (require.main === module) {
  const [role, folder = '', stopTimeoutMs = ''] = process.argv.slice(2);
  if (role === 'start') start([folder, stopTimeoutMs]);
  else guard(folder, Number(stopTimeoutMs));
}

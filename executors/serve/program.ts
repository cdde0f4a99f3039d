import { spawn } from 'node:child_process';
import { endGroup } from './process-group';

/** A program that was started, and all that it started itself. */
export interface RunningProgram {
  /** Undefined where it could not be started. */
  readonly pid: number | undefined;
  /** When none of it is left, and what it held is free: how it ended. */
  readonly ended: Promise<ProgramEnd>;
  /** Ends it. @returns whether it had to be killed */
  stop(): Promise<boolean>;
}

export interface ProgramEnd {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Why it could not be started. */
  readonly error?: NodeJS.ErrnoException;
}

export interface ProgramStart {
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  /** Between SIGTERM and SIGKILL. */
  readonly stopTimeoutMs: number;
}

/** Starts a program with this process's input and output. What it leaves running when it ends by itself is ended, too. */
export function startProgram({ file, args, cwd, env, stopTimeoutMs }: ProgramStart): RunningProgram {
  const child = spawn(file, args, {
    cwd,
    env,
    stdio: 'inherit',
    // A process group of its own: the only way to reach what it starts.
    detached: process.platform !== 'win32',
  });
  const { pid } = child;
  let ending: Promise<boolean> | undefined;
  const end = (): Promise<boolean> => {
    ending ??= pid === undefined ? Promise.resolve(false) : endGroup(pid, stopTimeoutMs);
    return ending;
  };
  const ended = new Promise<ProgramEnd>((done) => {
    child.on('error', (error) => done({ exitCode: null, signal: null, error }));
    child.on('exit', (exitCode, signal) => void end().then(() => done({ exitCode, signal })));
  });
  return {
    pid,
    ended,
    stop: async () => {
      const isKilled = await end();
      await ended;
      return isKilled;
    },
  };
}

import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs';
import { basename, delimiter, isAbsolute, join, resolve } from 'node:path';
import { SlimGoError } from '../errors';
import { parseModFile, parseWorkFile } from './modfile';

/** How long an interrupted `go` may take to remove its temporary files before it is killed. */
const graceMs = 3000;

/** How many characters of packages or files one command is given: Windows takes no line of more than 32,767. */
export const maxPatternsLength = 24_000;

export interface GoCall {
  /** Absolute; `go` resolves the module from here. */
  readonly cwd: string;
  /** The environment that `env` is added to. Default: this process's. */
  readonly processEnv?: NodeJS.ProcessEnv | undefined;
  readonly env?: Readonly<Record<string, string>>;
  /** Stops the program and every process that it started. */
  readonly signal?: AbortSignal | undefined;
  /** Gets what the program prints, unchanged, while it runs. */
  readonly onOutput?: ((chunk: Buffer, stream: 'stdout' | 'stderr') => void) | undefined;
}

export interface GoResult {
  /** 0 is success; a program that died by a signal nobody here sent has -1. */
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * The absolute path of the `go` command: the first on PATH, otherwise the one in GOROOT.
 * @throws GO_NOT_FOUND
 */
function findGo(env: NodeJS.ProcessEnv): string {
  const found = findProgram('go', env) ?? (env.GOROOT ? programIn(join(env.GOROOT, 'bin'), 'go') : undefined);
  if (found === undefined) {
    throw new SlimGoError('GO_NOT_FOUND', 'The go command was found neither on PATH nor in GOROOT.', {
      hint: 'Install Go from https://go.dev/dl/ and open a new terminal, or set GOROOT to the folder of your installation.',
    });
  }
  return found;
}

/** The absolute path of a program on PATH. */
export function findProgram(name: string, env: NodeJS.ProcessEnv): string | undefined {
  const folders = (env.PATH ?? env.Path ?? '').split(delimiter).filter((folder) => isAbsolute(folder));
  return folders.map((folder) => programIn(folder, name)).find((file) => file !== undefined);
}

/** The absolute path of a program in a folder; undefined where there is none. */
export function programIn(folder: string, name: string): string | undefined {
  const file = join(folder, process.platform === 'win32' ? `${name}.exe` : name);
  return isExecutable(file) ? file : undefined;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/** The flag for build tags, which replaces that of GOFLAGS; none for no tags. */
export function tagFlags(tags: readonly string[]): string[] {
  return tags.length === 0 ? [] : [`-tags=${tags.join(',')}`];
}

const running = new Set<ChildProcess>();

function killAll(): void {
  for (const child of running) kill(child, 'SIGKILL');
}

/** Kills the child's whole tree: `go` starts compilers, linkers and programs of its own. */
function kill(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    if (process.platform === 'win32') spawn('taskkill', ['/pid', String(child.pid), '/t', '/f'], { stdio: 'ignore' });
    else process.kill(-child.pid, signal);
  } catch {
    // It has ended by itself.
  }
}

/**
 * Runs `go` with these arguments and waits for its end. A failing `go` is a result, not an error.
 * @throws GO_NOT_FOUND; ABORTED (or the signal's own reason) once `signal` has fired, `go` has ended and what it started was killed
 */
export async function runGo(args: readonly string[], call: GoCall): Promise<GoResult> {
  return runProgram(findGo({ ...(call.processEnv ?? process.env), ...call.env }), args, call);
}

/** As runGo, for another program: `file` is its absolute path. */
export async function runProgram(
  file: string,
  args: readonly string[],
  { cwd, processEnv = process.env, env, signal, onOutput }: GoCall,
): Promise<GoResult> {
  const abortReason = (): unknown =>
    signal?.reason instanceof SlimGoError
      ? signal.reason
      : new SlimGoError('ABORTED', `${basename(file, '.exe')} ${args[0] ?? ''} was interrupted.`, {
          cause: signal?.reason,
        });
  if (signal?.aborted) throw abortReason();
  const child = spawn(file, args, {
    cwd,
    // go takes folders for what PWD calls them: without it a symlinked folder would get its real name in the output.
    env: { ...processEnv, PWD: cwd, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A process group of its own: the only way to reach the compilers that go started.
    detached: process.platform !== 'win32',
    windowsHide: true,
  });
  if (running.size === 0) process.on('exit', killAll);
  running.add(child);
  let killTimer: NodeJS.Timeout | undefined;
  const stop = (): void => {
    // go removes its work folder on SIGINT, not on SIGTERM.
    kill(child, 'SIGINT');
    killTimer = setTimeout(() => kill(child, 'SIGKILL'), graceMs);
  };
  signal?.addEventListener('abort', stop, { once: true });
  const output: Record<'stdout' | 'stderr', Buffer[]> = { stdout: [], stderr: [] };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].on('data', (chunk: Buffer) => {
      output[stream].push(chunk);
      onOutput?.(chunk, stream);
    });
  }
  try {
    const exitCode = await new Promise<number>((done, fail) => {
      child.on('error', fail);
      child.on('close', (code) => done(code ?? -1));
    });
    if (signal?.aborted) throw abortReason();
    return {
      exitCode,
      stdout: Buffer.concat(output.stdout).toString(),
      stderr: Buffer.concat(output.stderr).toString(),
    };
  } finally {
    clearTimeout(killTimer);
    signal?.removeEventListener('abort', stop);
    // Whatever of the group outlived go itself.
    if (signal?.aborted) kill(child, 'SIGKILL');
    running.delete(child);
    if (running.size === 0) process.removeListener('exit', killAll);
  }
}

/**
 * The values of Go's own variables as `go env` tells them, for example `goEnv(['GOVERSION', 'GOFLAGS'], { cwd })`.
 * @throws GO_NOT_FOUND, GO_TOO_OLD, GO_BUILD_FAILED with go's message
 */
export async function goEnv<Name extends string>(names: readonly Name[], call: GoCall): Promise<Record<Name, string>> {
  const { exitCode, stdout, stderr } = await runGo(['env', '-json', ...names], call);
  if (exitCode !== 0) {
    throw goTooOld(stderr, call.cwd) ?? new SlimGoError('GO_BUILD_FAILED', `go env failed: ${stderr.trim()}`);
  }
  return JSON.parse(stdout) as Record<Name, string>;
}

/**
 * The version of the Go that is used in this folder: `1.26.8`, `1.27rc1`.
 * @throws GO_NOT_FOUND
 */
export async function goVersion(call: GoCall): Promise<string> {
  const { GOVERSION } = await goEnv(['GOVERSION'], call);
  return /go(\S+)/.exec(GOVERSION)?.[1] ?? GOVERSION;
}

/**
 * Explains output of `go` that says that go.mod, go.work or a dependency asks for a newer Go, or undefined.
 * Go >= 1.21 refuses by itself (https://go.dev/doc/toolchain); older ones only remark it under a compile error.
 */
export function goTooOld(stderr: string, cwd: string): SlimGoError | undefined {
  const refused =
    /^go: (?:errors parsing \S+\s+)?(?:module )?(.+?)(?: listed in go\.work file)? requires go >= (\S+)(?: \(running go ([^\s;)]+)(?:; GOTOOLCHAIN=([^)]+))?\))?/m.exec(
      stderr,
    );
  const remarked = /^note: module requires Go (\S+)/m.exec(stderr);
  const unavailable = /^go: download go(\S+?)(?: for \S+)?: (.*)$/m.exec(stderr);
  const wanted = refused?.[2] ?? remarked?.[1] ?? unavailable?.[1];
  if (wanted === undefined) return undefined;
  const asker = whoAsks(refused?.[1], wanted, cwd);
  const here = refused?.[3] ? `this is Go ${refused[3]}` : 'the installed Go is older';
  const why = unavailable
    ? ` and it can't be downloaded: ${unavailable[2]}`
    : refused?.[4]
      ? `, which GOTOOLCHAIN=${refused[4]} does not let fetch a newer one`
      : '';
  return new SlimGoError('GO_TOO_OLD', `${asker} asks for Go ${wanted}; ${here}${why}.`, {
    hint: `Install Go ${wanted} or later from https://go.dev/dl/${
      refused?.[4] ? `, or set GOTOOLCHAIN=auto so that Go fetches it` : ''
    }.`,
  });
}

/** What to do about a go.mod, go.sum or go.work that `go` complains of; undefined where it complains of something else. */
export function moduleHint(stderr: string, moduleDir: string): string | undefined {
  if (/is not in std|missing go\.sum entry|no required module provides package|updates to go\.mod needed/.test(stderr))
    return `Run \`go mod tidy\` in ${moduleDir}.`;
  return /not one of the workspace modules|does not contain modules? listed in go\.work/.test(stderr)
    ? `Run \`go work use ${moduleDir}\`.`
    : undefined;
}

/** `go.mod:3` of the file that names the version; the dependency's own name where it is one of the module cache. */
function whoAsks(named: string | undefined, wanted: string, cwd: string): string {
  const candidates = [named, named && join(named, 'go.mod'), ...enclosing(cwd, 'go.mod'), ...enclosing(cwd, 'go.work')];
  for (const candidate of named?.includes('@') ? [] : candidates) {
    const file = candidate && resolve(cwd, candidate);
    if (!file || !/go\.(mod|work)$/.test(file) || !existsSync(file)) continue;
    const parse = file.endsWith('.work') ? parseWorkFile : parseModFile;
    const { go, toolchain } = parse(readFileSync(file, 'utf8'), file);
    const line = [go, toolchain].find((asked) => asked?.version.replace(/^go/, '') === wanted)?.line;
    if (line !== undefined) return `${file}:${line}`;
  }
  return named ?? 'The module';
}

/** `<folder>/name` for the folder and each one above it, nearest first. */
export function enclosing(folder: string, name: string): string[] {
  const above = resolve(folder, '..');
  return [join(folder, name), ...(above === folder ? [] : enclosing(above, name))];
}

/** A fresh Nx workspace with the packed tarball installed, and the commands that a user would type there. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { engineHost } from './engine';

const repository = dirname(dirname(__dirname));

export interface CommandResult {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  /** stdout and stderr in the order in which they came. */
  readonly output: string;
}

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly input?: string;
  /** Called with the process as soon as it runs, and with all output so far whenever there is more. */
  readonly onStart?: (child: ChildProcess) => void;
  readonly onOutput?: (output: string, child: ChildProcess) => void;
}

/** Commands that have not ended yet: a failed test leaves them behind, and they would keep jest from ending. */
const running = new Set<ChildProcess>();

function runCommand(
  file: string,
  args: readonly string[],
  cwd: string,
  options: CommandOptions = {},
): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const env: NodeJS.ProcessEnv = {
      ...process.env,
      NX_DAEMON: 'false',
      NO_COLOR: '1',
      FORCE_COLOR: undefined,
      // Base images that this user has pulled are not the test's.
      SLIM_GO_CACHE_DIR: join(cwd, 'node_modules', '.slim-go'),
      ...options.env,
    };
    // jest's own marks would change what Nx and node do.
    for (const name of ['NODE_ENV', 'JEST_WORKER_ID', 'NODE_OPTIONS']) delete env[name];
    if (engineHost && !('DOCKER_HOST' in (options.env ?? {}))) env.DOCKER_HOST = engineHost;
    const child = spawn(file, args, { cwd, env, stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    running.add(child);
    let output = '';
    const collect = (chunk: Buffer) => {
      output += chunk.toString();
      options.onOutput?.(output, child);
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.stdin.on('error', () => undefined); // Who asks for nothing may have ended before it gets nothing.
    child.stdin.end(options.input ?? '');
    child.on('error', reject);
    child.on('close', (exitCode, signal) => {
      running.delete(child);
      resolve({ exitCode, signal, output });
    });
    options.onStart?.(child);
  });
}

/** The whole process group of a command, as the terminal's Ctrl-C reaches it. */
export function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid !== undefined) process.kill(-child.pid, signal);
}

export class Workspace {
  readonly root: string;

  private constructor(root: string) {
    this.root = root;
  }

  /** A folder with nothing in it. */
  static empty(): Workspace {
    return new Workspace(realpathSync(mkdtempSync(join(tmpdir(), 'slim-go-e2e-'))));
  }

  /** Packs slim-go, makes an empty Nx workspace under git and installs the tarball there. */
  static async create(nxVersion = '24'): Promise<Workspace> {
    const workspace = Workspace.empty();
    const tarball = workspace.pack();
    workspace.write('package.json', `${JSON.stringify({ name: 'acme', private: true }, null, 2)}\n`);
    workspace.write('nx.json', '{}\n');
    workspace.write('.gitignore', 'node_modules\n.nx\n*.tgz\n');
    await workspace.run('npm', [
      'install',
      '--save-dev',
      '--no-audit',
      '--no-fund',
      '--prefer-offline',
      `nx@${nxVersion}`,
      `@nx/devkit@${nxVersion}`,
      tarball,
    ]);
    await workspace.run('git', ['init', '-q', '-b', 'main']);
    await workspace.commit('start');
    return workspace;
  }

  /** The packed tarball of slim-go, which lies in the folder then. */
  pack(): string {
    const [pack] = JSON.parse(
      execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', this.root], {
        cwd: repository,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }),
    ) as [{ filename: string }];
    return this.path(pack.filename);
  }

  path(...parts: string[]): string {
    return join(this.root, ...parts);
  }

  read(file: string): string {
    return readFileSync(this.path(file), 'utf8');
  }

  write(file: string, text: string): void {
    mkdirSync(dirname(this.path(file)), { recursive: true });
    writeFileSync(this.path(file), text);
  }

  /** Runs a command that must succeed. */
  async run(file: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
    const result = await runCommand(file, args, this.root, options);
    if (result.exitCode !== 0) throw new Error(`${file} ${args.join(' ')}: exit ${result.exitCode}\n${result.output}`);
    return result.output;
  }

  /** `nx <args>`, whatever its exit code. */
  tryNx(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return runCommand(
      process.execPath,
      [this.path('node_modules', 'nx', 'dist', 'bin', 'nx.js'), ...args],
      this.root,
      options,
    );
  }

  /** `nx <args>` that must succeed. */
  async nx(args: readonly string[], options: CommandOptions = {}): Promise<string> {
    const result = await this.tryNx(args, options);
    if (result.exitCode !== 0) throw new Error(`nx ${args.join(' ')}: exit ${result.exitCode}\n${result.output}`);
    return result.output;
  }

  async commit(message: string): Promise<void> {
    await this.run('git', ['add', '-A']);
    await this.run('git', [
      '-c',
      'user.name=t',
      '-c',
      'user.email=t@example.com',
      'commit',
      '-q',
      '--allow-empty',
      '-m',
      message,
    ]);
  }

  remove(): void {
    for (const child of running) signalGroup(child, 'SIGKILL');
    rmSync(this.root, { recursive: true, force: true });
  }
}

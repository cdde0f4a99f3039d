import type { EventEmitter } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import type { Container, ContainerCreateOptions } from 'dockerode';
import { SlimGoError } from '../errors';
import { copyRaw, demultiplex, type Sink, sinkOf } from './attach';
import type { PortMapping } from './container-options';
import { type Engine, engineMessage, statusOf } from './engine';

/** A container to run; every field is resolved (see container-options.ts for docker's notations). */
export interface RunOptions {
  /** Reference or ID of an image that the engine has. */
  readonly image: string;
  /** Instead of the image's CMD; empty leaves that in place. */
  readonly args: readonly string[];
  readonly ports: readonly PortMapping[];
  /** `KEY=VALUE`. */
  readonly env: readonly string[];
  /** As the engine takes them: `/absolute/source:/target:ro`, `name:/target`. */
  readonly volumes: readonly string[];
  /** Undefined: the engine invents one. */
  readonly name: string | undefined;
  readonly network: string | undefined;
  readonly user: string | undefined;
  readonly readOnly: boolean;
  readonly memoryBytes: number | undefined;
  readonly nanoCpus: number | undefined;
  /** Start it, say how to stop it, and come back. */
  readonly detach: boolean;
  /** Remove the container when it has ended. */
  readonly rm: boolean;
  /** Give the program a terminal: one output stream, raw input. */
  readonly tty: boolean;
  /** How long the program may take to end after a forwarded signal, before it is killed. */
  readonly stopTimeoutSeconds: number;
  readonly labels: Readonly<Record<string, string>>;
}

/** What the program is connected to: usually this process itself. */
export interface RunStreams {
  /** What the program reads; undefined gives it an empty input. */
  readonly stdin:
    | (Readable & { readonly isTTY?: boolean; setRawMode?(raw: boolean): unknown; unref?(): unknown })
    | undefined;
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly rows?: number; readonly columns?: number };
  readonly stderr: Writable;
  /** Emits SIGINT, SIGTERM and SIGHUP: `process`. */
  readonly signals: EventEmitter;
  /**
   * A further signal that comes at least this much later than the first kills. Below it, it is taken for the same: on
   * Ctrl-C a terminal and Nx each send one. Default 1000.
   */
  readonly sameSignalMs?: number;
}

export interface RunResult {
  /** The program's exit code; 128 + the signal's number where a signal ended it. 0 for `detach`. */
  readonly exitCode: number;
  /** What to do about it, where the program could not be started inside its image at all. */
  readonly hint: string | undefined;
}

/**
 * Runs a container, with its output untouched, until it has ended. No container is left behind unless `rm` is false or
 * `detach` was asked for: not when the start fails, and not after a signal.
 * (Killed itself, this process can't tidy up: the program goes on; `rm` still removes it in the end.)
 * @throws ENGINE_RUN_FAILED
 */
export async function runContainer(engine: Engine, options: RunOptions, streams: RunStreams): Promise<RunResult> {
  const stop = new StopRequests(options, streams);
  let container: Container | undefined;
  let ended = false;
  try {
    container = await engine.docker.createContainer(createOptions(options, streams.stdin !== undefined));
    const result = options.detach
      ? await startDetached(container, options, streams, stop)
      : await startAttached(container, options, streams, stop);
    ended = true;
    return result;
  } catch (error) {
    throw failure(error, engine, options);
  } finally {
    stop.end();
    // Once it has run to its end, `rm` is the engine's own business (AutoRemove).
    if (container !== undefined && !ended) await container.remove({ force: true, v: true }).catch(() => undefined);
  }
}

function createOptions(options: RunOptions, withInput: boolean): ContainerCreateOptions {
  const key = (port: PortMapping): string => `${port.containerPort}/${port.protocol}`;
  const bindings: Record<string, { HostIp: string; HostPort: string }[]> = {};
  for (const port of options.ports) {
    const list = bindings[key(port)] ?? [];
    bindings[key(port)] = [...list, { HostIp: port.hostIp, HostPort: port.hostPort?.toString() ?? '' }];
  }
  const attached = !options.detach;
  return {
    ...(options.name === undefined ? {} : { name: options.name }),
    ...(options.user === undefined ? {} : { User: options.user }),
    ...(options.args.length === 0 ? {} : { Cmd: [...options.args] }),
    Image: options.image,
    Env: [...options.env],
    Labels: { ...options.labels },
    ExposedPorts: Object.fromEntries(options.ports.map((port) => [key(port), {}])),
    Tty: options.tty,
    AttachStdin: attached && withInput,
    AttachStdout: attached,
    AttachStderr: attached,
    OpenStdin: attached && withInput,
    // The program's input ends when ours does.
    StdinOnce: attached && withInput,
    StopTimeout: Math.ceil(options.stopTimeoutSeconds),
    HostConfig: {
      AutoRemove: options.rm,
      Binds: [...options.volumes],
      PortBindings: bindings,
      ReadonlyRootfs: options.readOnly,
      ...(options.network === undefined ? {} : { NetworkMode: options.network }),
      ...(options.memoryBytes === undefined ? {} : { Memory: options.memoryBytes }),
      ...(options.nanoCpus === undefined ? {} : { NanoCpus: options.nanoCpus }),
    },
  };
}

async function startDetached(
  container: Container,
  options: RunOptions,
  { stdout }: RunStreams,
  stop: StopRequests,
): Promise<RunResult> {
  if (stop.exitCodeBeforeStart !== undefined) {
    await container.remove({ force: true, v: true });
    return { exitCode: stop.exitCodeBeforeStart, hint: undefined };
  }
  await container.start();
  const name = options.name ?? container.id.slice(0, 12);
  stdout.write(`${name} is running. Its output: docker logs -f ${name}. To stop it: docker stop ${name}\n`);
  return { exitCode: 0, hint: undefined };
}

/** Attach, wait, start, in this order: a program that ends at once loses no output and no exit code. */
async function startAttached(
  container: Container,
  options: RunOptions,
  streams: RunStreams,
  stop: StopRequests,
): Promise<RunResult> {
  const { stdin, stdout, stderr } = streams;
  const attached = await container.attach({
    stream: true,
    stdout: true,
    stderr: true,
    stdin: stdin !== undefined,
    hijack: true,
  });
  let beginning = '';
  const watched =
    (sink: Sink): Sink =>
    (piece) => {
      if (beginning.length < 1000) beginning += piece.toString('utf8', 0, 1000);
      return sink(piece);
    };
  const output = attached as AsyncIterable<Buffer>;
  const copying = options.tty
    ? copyRaw(output, watched(sinkOf(stdout)))
    : demultiplex(output, sinkOf(stdout), watched(sinkOf(stderr)));
  const over = new AbortController();
  const waiting = container.wait({ condition: options.rm ? 'removed' : 'next-exit', abortSignal: over.signal });
  // Both are awaited below; when the start fails they end with errors that nobody asks for.
  copying.catch(() => undefined);
  waiting.catch(() => undefined);
  let releaseInput: (() => void) | undefined;
  try {
    if (stop.exitCodeBeforeStart !== undefined) {
      await container.remove({ force: true, v: true });
      return { exitCode: stop.exitCodeBeforeStart, hint: undefined };
    }
    stop.starting();
    await container.start();
    stop.started(container);
    if (stdin !== undefined) releaseInput = connectInput(stdin, attached, container, options, stdout);
    const { StatusCode: exitCode } = (await waiting) as { StatusCode: number };
    await copying;
    return { exitCode, hint: exitCode === 0 ? undefined : startHint(beginning) };
  } finally {
    releaseInput?.();
    // Neither ends by itself when the start has failed, and an open connection keeps this process alive.
    over.abort();
    (attached as unknown as { destroy(): void }).destroy();
  }
}

/** Hands on our input, and the terminal's size and raw keys where there is one. Returns what undoes it. */
function connectInput(
  stdin: RunStreams['stdin'] & object,
  attached: NodeJS.ReadWriteStream,
  container: Container,
  options: RunOptions,
  stdout: RunStreams['stdout'],
): () => void {
  const raw = options.tty && stdin.isTTY === true;
  const resize = (): void => {
    // The program may have ended a moment ago; its terminal's size is nobody's concern then.
    container.resize({ h: stdout.rows, w: stdout.columns }).catch(() => undefined);
  };
  const ignore = (): void => undefined;
  attached.on('error', ignore);
  stdin.pipe(attached);
  if (raw) stdin.setRawMode?.(true);
  if (options.tty && stdout.isTTY === true) {
    resize();
    stdout.on('resize', resize);
  }
  return () => {
    stdout.off('resize', resize);
    if (raw) stdin.setRawMode?.(false);
    stdin.unpipe(attached);
    // Or a program that did not read its input to the end keeps this process alive.
    stdin.pause();
    stdin.unref?.();
  };
}

const signalNumbers = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

/** Hands signals on to the program: the first as it is, a second one and a time-out as SIGKILL. */
class StopRequests {
  /** Set where a signal came before the start was asked for. */
  exitCodeBeforeStart: number | undefined;
  private isStarting = false;
  private container: Container | undefined;
  /** What to send once the engine has said that the program runs; its output may come sooner than that. */
  private pending: string | undefined;
  private firstAtMs: number | undefined;
  private timer: NodeJS.Timeout | undefined;
  private readonly handlers = Object.entries(signalNumbers).map(
    ([signal, number]) => [signal, () => this.request(signal, number)] as const,
  );

  constructor(
    private readonly options: RunOptions,
    private readonly streams: RunStreams,
  ) {
    for (const [signal, handler] of this.handlers) streams.signals.on(signal, handler);
  }

  starting(): void {
    this.isStarting = true;
  }

  started(container: Container): void {
    this.container = container;
    if (this.pending !== undefined) this.kill(this.pending);
  }

  end(): void {
    clearTimeout(this.timer);
    for (const [signal, handler] of this.handlers) this.streams.signals.off(signal, handler);
  }

  private request(signal: string, number: number): void {
    const now = performance.now();
    if (!this.isStarting) {
      this.exitCodeBeforeStart ??= 128 + number;
    } else if (this.firstAtMs === undefined) {
      this.firstAtMs = now;
      this.kill(signal);
      this.timer = setTimeout(() => this.kill('SIGKILL'), this.options.stopTimeoutSeconds * 1000);
    } else if (now - this.firstAtMs >= (this.streams.sameSignalMs ?? 1000)) {
      this.kill('SIGKILL');
    }
  }

  private kill(signal: string): void {
    this.pending = signal;
    // It may have ended meanwhile: whether it did is for `wait` to tell.
    this.container?.kill({ signal }).catch(() => undefined);
  }
}

/**
 * The engine's runtime found the program and could not execute it. Depending on its version this is an error of the start, or
 * one line on the program's own stderr and an exit code that a program could have as well.
 */
function startHint(text: string): string | undefined {
  if (/exec format error/.test(text)) {
    return 'The program in the image is for another architecture than the engine: look at `platforms` of the build and image targets.';
  }
  if (
    /no such file or directory/.test(text) &&
    /^exec |exec user process|exec: "|starting container process/.test(text)
  ) {
    return (
      'The program that ENTRYPOINT names is not in the image, or it is dynamically linked and its loader is not there: an image ' +
      'FROM scratch holds only what COPY puts into it. Build with CGO_ENABLED=0, and write ENTRYPOINT as a list (["/hello"]), for there is no shell.'
    );
  }
  if (/executable file not found in \$PATH/.test(text)) {
    return 'An image FROM scratch has no shell and no PATH: write ENTRYPOINT as a list with an absolute path (["/hello"]).';
  }
  if (/permission denied/.test(text) && /^exec |exec user process|exec: "|starting container process/.test(text)) {
    return 'The program has no execute permission in the image: COPY it with its mode, or with --chmod=0755.';
  }
  return undefined;
}

function failure(error: unknown, engine: Engine, options: RunOptions): unknown {
  if (error instanceof SlimGoError) return error;
  const status = statusOf(error);
  const said = engineMessage(error);
  const fail = (message: string, hint: string): SlimGoError =>
    new SlimGoError('ENGINE_RUN_FAILED', message, { hint, cause: error });
  if (status === undefined) {
    return fail(
      `The engine at ${engine.host} broke off while ${options.image} ran (${said}).`,
      'See whether the engine is running, and with `docker ps` whether the container still is.',
    );
  }
  const port = /(?:Bind for |listen (?:tcp|udp)\S* )\S*?:(\d+)\b.*(?:already allocated|already in use)/.exec(said)?.[1];
  if (port !== undefined) {
    return fail(
      `Port ${port} of this machine is in use already, so ${options.image} was not started.`,
      `Choose another with \`ports\` (for example ${Number(port) < 65535 ? Number(port) + 1 : 8080}:${containerPort(options, port)}), or stop what listens there: \`docker ps\` shows containers. The engine said: ${said}`,
    );
  }
  if (status === 409 && options.name !== undefined && /name .* already in use/.test(said)) {
    return fail(
      `A container named "${options.name}" exists already, so ${options.image} was not started.`,
      `Remove it with \`docker rm -f ${options.name}\`, or choose another \`name\`.`,
    );
  }
  if (status === 404 && /no such image/i.test(said)) {
    return fail(`The engine at ${engine.host} has no image ${options.image}.`, 'Run the docker-build target first.');
  }
  if (status === 404 && /network .* not found/.test(said)) {
    return fail(
      `The engine at ${engine.host} has no network "${options.network}".`,
      'Create it with `docker network create`, or choose another `network`.',
    );
  }
  return fail(
    `${options.image} could not be started: ${said}`,
    startHint(said) ?? 'Check the options of the docker-run target and the ENTRYPOINT of the image.',
  );
}

function containerPort(options: RunOptions, hostPort: string): number {
  return options.ports.find((port) => port.hostPort === Number(hostPort))?.containerPort ?? Number(hostPort);
}

import { execFileSync, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough, Readable, Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { describeWithEngine, engineHost } from '../e2e/support/engine';
import { compile, removeSuiteImages, writeSmallImage } from '../e2e/support/small-image';
import { hostContainerPlatform } from '../platform';
import { demultiplex } from './attach';
import { parsePort } from './container-options';
import { connectEngine, type Engine } from './engine';
import { type RunOptions, type RunStreams, runContainer } from './run';

const prefix = `slim-go-run-${process.pid}`;
const { architecture } = hostContainerPlatform();

/** One program for all that is tried here. */
const source = `package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	switch os.Args[1] {
	case "both":
		os.Stdout.Write([]byte("out\\x00\\xff\\n"))
		os.Stderr.Write([]byte("err\\n"))
		os.Exit(3)
	case "much":
		for i := 0; i < 20000; i++ {
			fmt.Printf("line %d ...........................................................\\n", i)
		}
	case "cat":
		io.Copy(os.Stdout, os.Stdin)
	case "env":
		_, err := os.Create("/file")
		fmt.Println(os.Getenv("A"), os.Getuid(), err != nil)
		data, _ := os.ReadFile("/data/f")
		os.Stdout.Write(data)
	case "tty":
		info, _ := os.Stdout.Stat()
		fmt.Println(info.Mode()&os.ModeCharDevice != 0)
	case "signal":
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
		fmt.Println("ready")
		fmt.Println(<-signals)
		os.Exit(7)
	case "stubborn":
		signal.Ignore(syscall.SIGINT, syscall.SIGTERM)
		fmt.Println("ready")
		for {
			time.Sleep(time.Hour)
		}
	case "serve":
		fmt.Println("ready")
		http.ListenAndServe(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "served") }))
	}
}
`;

const docker = (...args: string[]): string =>
  execFileSync('docker', ['-H', engineHost ?? '', ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  }).trim();

/** The containers of this spec, running or not. */
const containers = (label = prefix): string => docker('ps', '-aq', '--filter', `label=suite=${label}`);

/** Collects; `when(text)` resolves once the output holds `text`. */
class Collector extends Writable {
  bytes = Buffer.alloc(0);
  private readonly changes = new EventEmitter();

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.bytes = Buffer.concat([this.bytes, chunk]);
    this.changes.emit('change');
    done();
  }

  get text(): string {
    return this.bytes.toString();
  }

  async when(text: string): Promise<void> {
    while (!this.text.includes(text)) await once(this.changes, 'change');
  }
}

describeWithEngine('runContainer', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'slim-go-run-'));
  const image = `${prefix}:latest`;
  let program: string;
  let engine: Engine;

  const options = (args: readonly string[], overrides: Partial<RunOptions> = {}): RunOptions => ({
    image,
    args,
    ports: [],
    env: [],
    volumes: [],
    name: undefined,
    network: undefined,
    user: undefined,
    readOnly: false,
    memoryBytes: undefined,
    nanoCpus: undefined,
    detach: false,
    rm: true,
    tty: false,
    stopTimeoutSeconds: 60,
    labels: { suite: prefix },
    ...overrides,
  });

  function streams(overrides: Pick<Partial<RunStreams>, 'stdin' | 'sameSignalMs'> = {}) {
    const signals = new EventEmitter();
    return { stdin: undefined, stdout: new Collector(), stderr: new Collector(), signals, ...overrides };
  }

  async function load(name: string, content: { program: string; architecture?: string; mode?: number }): Promise<void> {
    const file = path.join(folder, 'image.tar');
    const labels = { suite: prefix };
    await writeSmallImage(file, { architecture, references: [name], labels, ...content });
    docker('load', '-q', '-i', file);
  }

  beforeAll(async () => {
    program = compile(source);
    await load(image, { program });
    engine = await connectEngine({ env: { DOCKER_HOST: engineHost }, home: folder, platform: process.platform });
  });

  afterAll(() => {
    removeSuiteImages(engineHost, prefix);
    rmSync(folder, { recursive: true, force: true });
    rmSync(path.dirname(program), { recursive: true, force: true });
  });

  afterEach(() => {
    expect(containers()).toBe('');
  });

  it('hands on both outputs untouched, and the exit code', async () => {
    const io = streams();
    expect(await runContainer(engine, options(['both']), io)).toEqual({ exitCode: 3, hint: undefined });
    expect(io.stdout.bytes).toEqual(Buffer.from('out\x00\xff\n', 'latin1'));
    expect(io.stderr.text).toBe('err\n');
    expect(io.signals.eventNames()).toEqual([]);
  });

  it('loses nothing of much output to a slow reader', async () => {
    const slow = new PassThrough({ highWaterMark: 1024 });
    const [{ exitCode }, output] = await Promise.all([
      runContainer(engine, options(['much']), { ...streams(), stdout: slow }).finally(() => slow.end()),
      buffer(slow),
    ]);
    expect(exitCode).toBe(0);
    expect(output.toString().split('\n')).toHaveLength(20_001);
    expect(output.toString()).toContain('\nline 19999 ');
  });

  it('goes on when the reader of the output goes away', async () => {
    const closed = new PassThrough();
    closed.on('error', () => undefined).destroy();
    const { exitCode } = await runContainer(engine, options(['much']), { ...streams(), stdout: closed });
    expect(exitCode).toBe(0);
  });

  it('hands on the input, and its end', async () => {
    const input = Buffer.alloc(300_000, 'input ');
    const io = streams({ stdin: Readable.from([input]) });
    expect((await runContainer(engine, options(['cat']), io)).exitCode).toBe(0);
    expect(io.stdout.bytes.equals(input)).toBe(true);
  });

  it('ends with the program though the input has not ended', async () => {
    const stdin = new PassThrough();
    expect((await runContainer(engine, options(['both']), streams({ stdin }))).exitCode).toBe(3);
    expect(stdin.isPaused()).toBe(true);
  });

  it('takes environment, user, volume, read-only root, memory and processors', async () => {
    const data = path.join(folder, 'data');
    execFileSync('mkdir', ['-p', data]);
    execFileSync('cp', ['/etc/hostname', path.join(data, 'f')]);
    const io = streams();
    const overrides = {
      env: ['A=b c'],
      user: '65532:65532',
      volumes: [`${data}:/data:ro`],
      readOnly: true,
      memoryBytes: 64 * 2 ** 20,
      nanoCpus: 5e8,
      network: 'none',
    };
    await runContainer(engine, options(['env'], overrides), io);
    expect(io.stdout.text).toBe(`b c 65532 true\n${execFileSync('cat', ['/etc/hostname'])}`);
  });

  it('gives a terminal where one is asked for', async () => {
    const io = streams();
    await runContainer(engine, options(['tty'], { tty: true }), io);
    expect(io.stdout.text).toBe('true\r\n');
  });

  it.each(['SIGINT', 'SIGTERM', 'SIGHUP'])('hands %s on to the program, whose exit code counts', async (signal) => {
    const io = streams();
    const running = runContainer(engine, options(['signal']), io);
    await Promise.race([io.stdout.when('ready'), running]);
    io.signals.emit(signal);
    io.signals.emit('SIGTERM');
    expect((await running).exitCode).toBe(7);
    const names: Record<string, string> = { SIGINT: 'interrupt', SIGTERM: 'terminated', SIGHUP: 'hangup' };
    expect(io.stdout.text).toBe(`ready\n${names[signal]}\n`);
  });

  it('kills the program at the second signal', async () => {
    const io = streams({ sameSignalMs: 0 });
    const running = runContainer(engine, options(['stubborn']), io);
    await Promise.race([io.stdout.when('ready'), running]);
    io.signals.emit('SIGINT');
    io.signals.emit('SIGINT');
    expect((await running).exitCode).toBe(137);
  });

  it('kills the program when its time to stop is over', async () => {
    const io = streams();
    const running = runContainer(engine, options(['stubborn'], { stopTimeoutSeconds: 0.1 }), io);
    await Promise.race([io.stdout.when('ready'), running]);
    io.signals.emit('SIGTERM');
    expect((await running).exitCode).toBe(137);
  });

  it('starts nothing when the signal comes first', async () => {
    const io = streams();
    const running = runContainer(engine, options(['stubborn']), io);
    io.signals.emit('SIGTERM');
    expect((await running).exitCode).toBe(143);
    expect(io.stdout.text).toBe('');
  });

  it('publishes ports, and says which one is in use', async () => {
    const server = await listen();
    const port = (server.address() as AddressInfo).port;
    await expect(
      runContainer(engine, options(['serve'], { ports: [parsePort(`${port}:80`)] }), streams()),
    ).rejects.toMatchObject({
      code: 'ENGINE_RUN_FAILED',
      message: expect.stringContaining(`Port ${port} of this machine is in use already`),
      hint: expect.stringContaining(`${port + 1}:80`),
    });
    expect(containers()).toBe('');
    server.close();
    await once(server, 'close');
    const io = streams({ sameSignalMs: 0 });
    const running = runContainer(engine, options(['serve'], { ports: [parsePort(`127.0.0.1:${port}:80`)] }), io);
    await Promise.race([io.stdout.when('ready'), running]);
    expect(await askUntilServed(port)).toBe('served');
    io.signals.emit('SIGINT');
    io.signals.emit('SIGINT');
    await running;
  });

  it('says that the name is taken, and how to free it', async () => {
    const name = `${prefix}-name`;
    const io = streams();
    expect(await runContainer(engine, options(['serve'], { detach: true, name }), io)).toMatchObject({ exitCode: 0 });
    expect(io.stdout.text).toContain(`docker stop ${name}`);
    await expect(runContainer(engine, options(['serve'], { name }), streams())).rejects.toMatchObject({
      message: expect.stringContaining(`"${name}" exists already`),
      hint: expect.stringContaining(`docker rm -f ${name}`),
    });
    docker('kill', name);
    for (const deadline = Date.now() + 10_000; containers() !== '' && Date.now() < deadline; );
  });

  it('keeps the container where rm is false', async () => {
    await runContainer(engine, options(['both'], { rm: false }), streams());
    expect(docker('inspect', '--format', '{{.State.ExitCode}}', containers())).toBe('3');
    docker('rm', containers());
  });

  it('explains an image that the engine lacks, and a network', async () => {
    await expect(runContainer(engine, options([], { image: 'slim-go-none:x' }), streams())).rejects.toMatchObject({
      message: expect.stringContaining('has no image slim-go-none:x'),
      hint: expect.stringContaining('docker-build'),
    });
    await expect(runContainer(engine, options([], { network: 'slim-go-none' }), streams())).rejects.toMatchObject({
      message: expect.stringContaining('has no network "slim-go-none"'),
    });
  });

  it.each([
    [
      'another architecture',
      'CGO_ENABLED=0',
      { GOARCH: architecture === 'arm64' ? 'amd64' : 'arm64' },
      'another architecture',
    ],
    ['a dynamically linked program', '', { CGO_ENABLED: '1' }, 'CGO_ENABLED=0'],
    ['a program without execute permission', '', {}, 'execute permission'],
  ])('explains the failed start of %s', async (what, _, env, hint) => {
    const file = path.join(path.dirname(program), 'odd');
    const text = path.join(path.dirname(program), 'odd.go');
    execFileSync('sh', ['-c', 'cat > "$0"', text], { input: 'package main\nimport _ "net"\nfunc main() {}\n' });
    const args = ['build', '-ldflags=-s -w', '-o', file, text];
    execFileSync('go', args, { cwd: folder, env: { ...process.env, CGO_ENABLED: '0', GOWORK: 'off', ...env } });
    const name = `${prefix}-odd:latest`;
    await load(name, { program: file, mode: what.includes('permission') ? 0o644 : 0o755 });
    const io = streams();
    const result = await runContainer(engine, options([], { image: name }), io).catch((error: unknown) => error);
    expect(result).toMatchObject({ hint: expect.stringContaining(hint) });
  });

  it('leaves nothing when the whole process gets SIGTERM, as from Nx', async () => {
    const script = `
      const { connectEngine } = require('./docker/engine'), { runContainer } = require('./docker/run');
      connectEngine({ env: { DOCKER_HOST: ${JSON.stringify(engineHost)} }, home: '/', platform: process.platform })
        .then((engine) => runContainer(engine, ${JSON.stringify(options(['signal']))}, process))
        .then(({ exitCode }) => process.exit(exitCode));`;
    const register = path.join(folder, 'register.js');
    execFileSync('sh', ['-c', 'cat > "$0"', register], { input: registerSwc });
    const child = spawn(
      process.execPath,
      [
        '-r',
        register,
        '-e',
        script.replace(', process)', ', { stdout: process.stdout, stderr: process.stderr, signals: process })'),
      ],
      {
        cwd: path.join(__dirname, '..'),
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    const output = new Collector();
    child.stdout.pipe(output);
    await output.when('ready');
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([7, null]);
    expect(output.text).toBe('ready\nterminated\n');
  });
});

/** Compiles our sources as they are required, with the compiler that jest uses. */
const registerSwc = `
const swc = require(${JSON.stringify(require.resolve('@swc/core'))}), fs = require('fs');
require.extensions['.ts'] = (module, file) => module._compile(
  swc.transformSync(fs.readFileSync(file, 'utf8'), { filename: file, module: { type: 'commonjs' },
    jsc: { target: 'es2022', parser: { syntax: 'typescript' } } }).code, file);`;

async function listen(): Promise<Server> {
  const server = createServer().listen(0, '0.0.0.0');
  await once(server, 'listening');
  return server;
}

/** The program says ready just before it listens. */
async function askUntilServed(port: number): Promise<string> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await (await fetch(`http://127.0.0.1:${port}`)).text();
    } catch (error) {
      if (attempt > 200) throw error;
      await new Promise((resolve) => connect(port, '127.0.0.1').on('connect', resolve).on('error', resolve));
    }
  }
}

describe('demultiplex', () => {
  it('puts frames together however they are cut', async () => {
    const frame = (stream: number, text: string): Buffer => {
      const header = Buffer.from([stream, 0, 0, 0, 0, 0, 0, 0]);
      header.writeUInt32BE(Buffer.byteLength(text), 4);
      return Buffer.concat([header, Buffer.from(text)]);
    };
    const all = Buffer.concat([frame(1, 'one'), frame(2, 'two'), frame(1, ''), frame(1, 'threé')]);
    for (let size = 1; size <= all.length; size += 1) {
      const pieces = Array.from({ length: Math.ceil(all.length / size) }, (_, i) =>
        all.subarray(i * size, (i + 1) * size),
      );
      const output = { 1: '', 2: '' };
      const sink = (stream: 1 | 2) => async (piece: Buffer) => {
        output[stream] += piece.toString('latin1');
      };
      await demultiplex(Readable.from(pieces), sink(1), sink(2));
      expect(output).toEqual({ 1: Buffer.from('onethreé').toString('latin1'), 2: 'two' });
    }
  });
});

import { type ChildProcess, execFileSync, spawnSync } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describeWithEngine, docker, engineHost, imageIdOf } from './support/engine';
import { StallingEngine } from './support/stalling-engine';
import { type CommandOptions, type CommandResult, signalGroup, Workspace } from './support/workspace';

jest.setTimeout(300_000);

const name = 'slim-go-e2e-errors';
const app = `apps/${name}`;
const noEngine = { DOCKER_HOST: 'unix:///nonexistent/docker.sock' };
/** In the environment of every process that a test starts, and so of what these start in their turn. */
const mark = `SLIM_GO_E2E_MARK=${randomUUID()}`;
const isRoot = process.getuid?.() === 0;
const hasCompiler = spawnSync('gcc', ['--version']).status === 0;

/** Command lines of the processes that carry the mark (Linux tells them in /proc; elsewhere none are found). */
function markedProcesses(): string[] {
  if (!existsSync('/proc/self/environ')) return [];
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((pid) => {
      try {
        if (!readFileSync(`/proc/${pid}/environ`, 'latin1').includes(mark)) return [];
        return [readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ')];
      } catch {
        return []; // It has just ended.
      }
    });
}

async function until(isSo: () => boolean, what: string): Promise<void> {
  for (let attempt = 0; !isSo(); attempt++) {
    if (attempt > 1500) throw new Error(`Waited in vain for: ${what}`);
    await delay(20);
  }
}

describe('bad input gets a clear error and loses nothing', () => {
  let workspace: Workspace;
  let dockerfile: string;
  let main: string;

  const nx = (args: readonly string[], { env, ...options }: CommandOptions = {}): Promise<CommandResult> => {
    const [markName, markValue] = mark.split('=') as [string, string];
    return workspace.tryNx(args, { ...options, env: { ...env, [markName]: markValue } });
  };
  const imageId = (): string => JSON.parse(workspace.read(`${app}/dist/image/image.json`)).platforms[0].imageId;

  /** Every file that the targets have made, with its digest: also what is half written or hidden. */
  function outputs(): Record<string, string> {
    const root = workspace.path(app, 'dist');
    const files = (folder: string): string[] =>
      readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
        entry.isDirectory()
          ? [`${folder}/${entry.name}/`, ...files(join(folder, entry.name))]
          : [join(folder, entry.name)],
      );
    return Object.fromEntries(
      files(root).map((file) => [
        relative(root, file),
        file.endsWith('/') ? '' : createHash('sha256').update(readFileSync(file)).digest('hex'),
      ]),
    );
  }

  const state = () => ({ outputs: outputs(), tag: engineHost && imageIdOf(`${name}:latest`) });

  /** Runs what must fail, and compares all that was there before with what is there after. */
  async function fails(args: readonly string[], options: CommandOptions = {}): Promise<string> {
    const before = state();
    const { exitCode, output } = await nx(args, options);
    expect(exitCode).not.toBe(0);
    expect(output).not.toContain('Successfully ran');
    expect(state()).toEqual(before);
    await leavesNothingRunning();
    return output;
  }

  async function leavesNothingRunning(): Promise<void> {
    await until(() => markedProcesses().length === 0, `the end of ${markedProcesses().join(' and ')}`);
    if (engineHost) expect(docker('ps', '-aq', '--filter', `label=org.slim-go.project=${name}`)).toBe('');
  }

  const image = (...args: string[]) => fails(['run', `${name}:image`, ...args], { env: noEngine });

  beforeAll(async () => {
    workspace = await Workspace.create();
    await workspace.nx(['g', 'slim-go:app', app]);
    dockerfile = workspace.read(`${app}/Dockerfile`);
    main = workspace.read(`${app}/main.go`);
    await workspace.commit('app');
    await workspace.nx(['run', `${name}:docker-build`]);
  });
  afterEach(async () => {
    await workspace.run('git', ['checkout', '-q', '.']);
    await workspace.run('git', ['clean', '-fdq']);
  });
  afterAll(() => {
    workspace?.remove();
    if (engineHost && imageIdOf(name)) docker('rmi', '-f', imageIdOf(name)!);
  });

  describe('Go', () => {
    it('says that Go is missing where something is to be compiled, and plans without it', async () => {
      const tools = workspace.path('.nx', 'tools');
      mkdirSync(tools, { recursive: true });
      const git = execFileSync('sh', ['-c', 'command -v git'], { encoding: 'utf8' }).trim();
      symlinkSync(process.execPath, join(tools, 'node'));
      symlinkSync(git, join(tools, 'git'));
      symlinkSync('/bin/sh', join(tools, 'sh'));
      const env = { PATH: tools, GOROOT: undefined };
      const output = await fails(['build', name], { env });
      expect(output).toContain('The go command was found neither on PATH nor in GOROOT.');
      expect(output).toContain('https://go.dev/dl/');

      const shown = await nx(['show', 'project', name, '--json'], { env });
      expect(Object.keys(JSON.parse(shown.output).targets)).toEqual(expect.arrayContaining(['build', 'image']));
      const graph = workspace.path('.nx', 'graph.json');
      expect((await nx(['graph', `--file=${graph}`], { env })).exitCode).toBe(0);
      expect(Object.keys(JSON.parse(readFileSync(graph, 'utf8')).graph.nodes)).toContain(name);
    });

    it('names the line of go.mod that asks for a newer Go', async () => {
      workspace.write('go.mod', workspace.read('go.mod').replace(/^go .*/m, 'go 1.99'));
      const output = await fails(['build', name], { env: { GOTOOLCHAIN: 'local' } });
      expect(output).toMatch(/go\.mod:3 asks for Go 1\.99; this is Go 1\.\d+/);
      expect(output).toContain('GOTOOLCHAIN=auto');
    });

    it("shows the compiler's own words for a program that does not compile", async () => {
      workspace.write(`${app}/main.go`, 'package main\n\nfunc main() { notThere() }\n');
      const output = await fails(['run', `${name}:docker-build`]);
      expect(output).toContain(`${app}/main.go:3:15: undefined: notThere`);
      expect(output).toMatch(/go build \S+ for \S+ failed \(exit status 1\)/);
    });

    (hasCompiler ? it : it.skip)(
      'refuses a binary that scratch can not start, and says who pulled cgo in',
      async () => {
        const module = /^module (\S+)/m.exec(workspace.read('go.mod'))![1];
        workspace.write('libs/ask/ask.go', 'package ask\n\nimport "net"\n\nvar Host = net.LookupHost\n');
        const source = `package main\n\nimport "${module}/libs/ask"\n\nfunc main() { _, _ = ask.Host("x") }\n`;
        workspace.write(`${app}/main.go`, source);
        const output = await fails(['build', name, '--cgo']);
        expect(output).toContain('is not static: it needs the loader');
        expect(output).toContain(`cgo comes in by ${module}/${app} -> ${module}/libs/ask -> net`);
      },
    );
  });

  describe('the Dockerfile', () => {
    it('names the line that needs an engine where none answers', async () => {
      workspace.write(`${app}/Dockerfile`, `${dockerfile}RUN ["/${name}"]\n`);
      const output = await image();
      expect(output).toContain(`${app}/Dockerfile:6: RUN needs a container engine.`);
      expect(output).toContain('No container engine answers at unix:///nonexistent/docker.sock');
    });

    it.each([
      ['missing', undefined, ['--dockerfile=apps/Nope'], ['apps/Nope: there is no such Dockerfile.', 'FROM scratch']],
      ['empty', '', [], ['Dockerfile: the Dockerfile is empty', 'Start with "FROM scratch"']],
      [
        'unknown',
        'FROM scratch\nCOPPY a /a\n',
        [],
        ['Dockerfile:2: "COPPY" is no Dockerfile instruction.', 'mean COPY?'],
      ],
      [
        'mistaken',
        'FROM scratch\nARG TARGETPLATFORM\nCOPY dist/${TARGETPLATFORM}/slim-go-e2e-error /x\n',
        [],
        ['Dockerfile:3: COPY dist/', 'there is no "dist/', `Did you mean dist/`, `/${name}?`],
      ],
      [
        'hidden',
        'FROM scratch\nCOPY main.go /\n',
        [],
        [
          'Dockerfile:2: COPY main.go: it exists, but',
          '.dockerignore:2 hides it ("*")',
          'Add "!main.go" below that line.',
        ],
      ],
    ])('says what is wrong: %s', async (_, text, args, parts) => {
      if (text !== undefined) workspace.write(`${app}/Dockerfile`, text);
      const output = await image(...args);
      for (const part of parts) expect(output).toContain(part);
    });

    it('refuses a context outside of the workspace, also one behind a link', async () => {
      expect(await image('--context=..')).toContain('The build context ".." lies outside of the workspace.');
      symlinkSync('..', workspace.path('elsewhere'));
      expect(await image('--context=elsewhere')).toContain(
        'The build context "elsewhere" lies outside of the workspace',
      );
    });

    it('refuses a link that leaves the context, and names where it leads', async () => {
      symlinkSync('../../go.mod', workspace.path(app, 'up.mod'));
      workspace.write(`${app}/.dockerignore`, '');
      workspace.write(`${app}/Dockerfile`, 'FROM scratch\nCOPY up.mod /\n');
      expect(await image()).toContain(
        `${app}/Dockerfile:2: "up.mod" leads out of the build context: up.mod is a link to ../../go.mod.`,
      );
    });

    it('refuses an invalid reference and proposes a valid one', async () => {
      const output = await image('--reference=Acme/My App');
      expect(output).toContain('"Acme/My App" is not a valid image reference');
      expect(output).toContain('Write for example acme/my-app:latest.');
    });
  });

  (isRoot && process.platform === 'linux' ? it : it.skip)('keeps the former image when the disk is full', async () => {
    const folder = workspace.path(app, 'dist', 'image');
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', folder]);
    try {
      await workspace.nx(['run', `${name}:image`, '--skip-nx-cache']);
      workspace.write(`${app}/.dockerignore`, '');
      workspace.write(`${app}/big`, 'x'.repeat(1_500_000));
      workspace.write(`${app}/Dockerfile`, `${dockerfile}COPY big /\n`);
      const output = await image('--skip-nx-cache');
      expect(output).toMatch(
        /Can't write \S+image\.tar: the disk is full \(ENOSPC\)\. What was there before is unchanged\./,
      );
      expect(output).toMatch(/Free space in \S+: \d+ KiB are free/);
    } finally {
      execFileSync('umount', [folder]);
    }
  });

  it('says that no engine answers to who wants to run the image', async () => {
    const output = await fails(['run', `${name}:docker-run`], { env: noEngine });
    expect(output).toContain('No container engine answers at unix:///nonexistent/docker.sock (from DOCKER_HOST)');
    expect(output).toContain('Start that engine, or change DOCKER_HOST.');
  });

  describe('Ctrl-C', () => {
    /** Interrupts the whole process group once `ready` resolves; nothing may be lost or left. */
    async function interrupted(args: readonly string[], ready: () => Promise<void>, options: CommandOptions = {}) {
      const before = state();
      let child: ChildProcess | undefined;
      const done = nx(args, {
        ...options,
        onStart: (started) => {
          child = started;
        },
      });
      const early = done.then(({ output }) => {
        throw new Error(`It ended before it could be interrupted:\n${output}`);
      });
      await Promise.race([ready(), early]);
      early.catch(() => undefined);
      signalGroup(child!, 'SIGINT');
      const { exitCode, output } = await done;
      expect(exitCode).not.toBe(0);
      expect(output).not.toContain('Successfully ran');
      await leavesNothingRunning();
      expect(state()).toEqual(before);
    }

    it('stops the compiler and all that it started', async () => {
      const started = workspace.path('.nx', 'compiling');
      const slow = workspace.path('.nx', 'slow-tool');
      workspace.write(
        '.nx/slow-tool',
        `#!/bin/sh\ncase "$*" in *-V=full*) exec "$@";; esac\ntouch '${started}'\nexec sleep 600\n`,
      );
      chmodSync(slow, 0o755);
      await interrupted(['build', name, `--args=-toolexec=${slow}`], () =>
        until(() => existsSync(started), 'the compiler'),
      );
    });

    it('leaves no half-written image', async () => {
      workspace.write(`${app}/.dockerignore`, '');
      workspace.write(`${app}/big`, '');
      truncateSync(workspace.path(app, 'big'), 400_000_000);
      workspace.write(`${app}/Dockerfile`, `${dockerfile}COPY big /\n`);
      const folder = workspace.path(app, 'dist', 'image');
      const isWriting = () =>
        readdirSync(folder).some((file) => {
          const size = statSync(join(folder, file), { throwIfNoEntry: false })?.size ?? 0;
          return file.endsWith('.tmp') && size > 20_000_000;
        });
      await interrupted(['run', `${name}:image`], () => until(isWriting, 'the archive'));
    });

    if (!engineHost) return;

    it('leaves the engine as it was when it loads', async () => {
      workspace.write(`${app}/main.go`, main.replace('Hello, World!', 'Another line'));
      await workspace.nx(['run', `${name}:image`]);
      const engine = await StallingEngine.start();
      try {
        await interrupted(['run', `${name}:docker-build`], () => engine.loading, { env: { DOCKER_HOST: engine.host } });
      } finally {
        await engine.die();
      }
    });

    it('ends a step that runs in the engine, and leaves no container', async () => {
      workspace.write(
        `${app}/main.go`,
        'package main\n\nimport (\n\t"fmt"\n\t"time"\n)\n\nfunc main() {\n\tfmt.Println("it runs")\n\ttime.Sleep(time.Hour)\n}\n',
      );
      await workspace.nx(['build', name]);
      workspace.write(`${app}/Dockerfile`, `${dockerfile}RUN ["/${name}"]\n`);
      const containers = () =>
        docker('ps', '-a', '--format', '{{.Command}}')
          .split('\n')
          .filter((line) => line.includes(name));
      await interrupted(['run', `${name}:image`], () => until(() => containers().length > 0, 'the container'));
      await until(() => containers().length === 0, 'the end of the container');
    });
  });

  describeWithEngine('the container engine', () => {
    beforeEach(async () => {
      await workspace.nx(['run', `${name}:docker-build`]);
    });

    it('may die in mid-load: the tag still names the former image', async () => {
      workspace.write(`${app}/main.go`, main.replace('Hello, World!', randomUUID()));
      await workspace.nx(['run', `${name}:image`]);
      expect(imageId()).not.toBe(imageIdOf(name));
      const engine = await StallingEngine.start();
      void engine.loading.then(() => engine.die());
      const output = await fails(['run', `${name}:docker-build`], { env: { DOCKER_HOST: engine.host } });
      expect(output).toContain(`The engine at ${engine.host} broke off while loading ${name}:latest`);
      expect(output).toContain('See whether the engine is running and has disk space left, then run this again.');
      expect(await workspace.nx(['run', `${name}:docker-build`])).toContain(`${name}:latest: loaded`);
    });

    it('gets the right image from two docker-build at once', async () => {
      workspace.write(`${app}/main.go`, main.replace('Hello, World!', 'Twice'));
      const both = await Promise.all([1, 2].map(() => nx(['run', `${name}:docker-build`])));
      for (const { exitCode, output } of both) expect([exitCode, output]).toEqual([0, output]);
      expect(imageIdOf(name)).toBe(imageId());
      const files = () => Object.entries(outputs()).flatMap(([file, digest]) => (digest === '' ? [] : file));
      const made = files();
      expect(made).toHaveLength(3);
      // What one of them had under way must not have come into the cache.
      rmSync(workspace.path(app, 'dist'), { recursive: true });
      await workspace.nx(['run', `${name}:docker-build`]);
      expect(files()).toEqual(made);
      expect(await workspace.nx(['run', `${name}:docker-run`])).toContain('Twice');
    });
  });
});

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { Readable } from 'node:stream';
import { describeWithEngine, engineHost } from '../e2e/support/engine';
import { removeSuiteImages, type TarFile, tar } from '../e2e/support/small-image';
import { hostContainerPlatform, type Platform } from '../platform';
import { buildInEngine, type EngineBuild, removeImage, saveImage } from './build';
import { connectEngine, type Engine } from './engine';

const prefix = `slim-go-build-${process.pid}`;
const base = `${prefix}-busybox:latest`;
const host = hostContainerPlatform();
const foreign: Platform = { os: 'linux', architecture: host.architecture === 'arm64' ? 'amd64' : 'arm64' };

const docker = (...args: string[]): string =>
  execFileSync('docker', ['-H', engineHost ?? '', ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  }).trim();

function connectTo(address: string): Promise<Engine> {
  return connectEngine({ env: { DOCKER_HOST: address }, home: tmpdir(), platform: process.platform });
}

/** A build of `dockerfile` with `files` as its context; `lines` collects what is shown. */
async function buildOf(
  dockerfile: string,
  overrides: Partial<EngineBuild> = {},
  files: readonly TarFile[] = [],
): Promise<EngineBuild & { readonly lines: string[] }> {
  const context = await tar([{ name: 'sub/Dockerfile', content: dockerfile }, ...files]);
  const lines: string[] = [];
  const instructions = dockerfile
    .split('\n')
    .map((text, index) => ({ text, line: index + 1 }))
    .filter(({ text }) => /^[A-Z]/.test(text));
  return {
    context: () => Readable.from([context]),
    dockerfile: 'sub/Dockerfile',
    source: { file: 'apps/hello/Dockerfile', instructions },
    platform: host,
    buildArgs: {},
    labels: {},
    target: undefined,
    needsBuildKit: false,
    onStep: (line) => lines.push(line),
    lines,
    ...overrides,
  };
}

describeWithEngine('buildInEngine', () => {
  let engine: Engine;

  beforeAll(async () => {
    engine = await connectTo(engineHost ?? '');
    // No registry is at hand: this stands for a base image with a shell.
    const content = readFileSync('/bin/busybox');
    const files = ['busybox', 'sh', 'echo', 'sleep', 'cat'].map((name) => ({
      name: `bin/${name}`,
      content,
      mode: 0o755,
    }));
    execFileSync('docker', ['-H', engineHost ?? '', 'import', '--change', `LABEL suite=${prefix}`, '-', base], {
      input: await tar(files),
    });
  });

  afterAll(() => {
    // The classic builder's cached steps too: they inherit the label.
    removeSuiteImages(engineHost, prefix);
  });

  const tags = (): string => docker('images', '--format', '{{.Repository}}:{{.Tag}}', 'slim-go-build');

  describe.each([
    ['classic builder', false],
    ['BuildKit', true],
  ])('with the %s', (_, needsBuildKit) => {
    it('builds the context and shows steps and output line by line', async () => {
      const text = `FROM ${base}\nARG WHO\nARG TARGETPLATFORM\nCOPY data /data\nRUN echo "hello $WHO on $TARGETPLATFORM ä" && cat /data\nCMD ["/bin/x"]\n`;
      const labels = { 'org.example.a': 'with space' };
      const overrides = { needsBuildKit, labels, buildArgs: { WHO: 'reader' } };
      const build = await buildOf(text, overrides, [{ name: 'data', content: `from data ${Math.random()}\n` }]);
      const { imageId, temporaryReference } = await buildInEngine(engine, build);
      const shown = build.lines.join('\n');
      expect(shown).toContain(`hello reader on linux/${host.architecture} ä`);
      expect(shown).toContain('from data');
      expect(shown).toMatch(/COPY data \/data/);
      expect(shown).not.toContain('[Warning]');
      const [inspected] = JSON.parse(docker('image', 'inspect', imageId));
      expect(inspected.Config).toMatchObject({ Cmd: ['/bin/x'], Labels: labels });
      await removeImage(engine, temporaryReference);
      expect(() => docker('image', 'inspect', imageId)).toThrow();
    });

    it('tells a failing step with its line, its output and the exit code', async () => {
      const text = `FROM ${base}\n# a comment\nRUN echo fine\nRUN echo "look here ${needsBuildKit}" && exit 3\n`;
      const build = await buildOf(text, { needsBuildKit });
      await expect(buildInEngine(engine, build)).rejects.toMatchObject({
        code: 'ENGINE_BUILD_FAILED',
        message: expect.stringMatching(
          /^apps\/hello\/Dockerfile:4: RUN echo .* failed: .*\b3\nlook here (true|false)$/,
        ),
      });
      expect(build.lines.join('\n')).toContain('look here');
    });

    it('tells a syntax error with its line', async () => {
      const build = await buildOf('FROM scratch\nRUNN x\n', { needsBuildKit });
      await expect(buildInEngine(engine, build)).rejects.toMatchObject({
        code: 'ENGINE_BUILD_FAILED',
        message: expect.stringMatching(/^apps\/hello\/Dockerfile:2: .*unknown instruction: RUNN/),
      });
    });

    it('tells a file that is not in the context', async () => {
      const build = await buildOf('FROM scratch\nCOPY nothing /x\n', { needsBuildKit });
      await expect(buildInEngine(engine, build)).rejects.toMatchObject({
        message: expect.stringMatching(/^apps\/hello\/Dockerfile:2: COPY nothing \/x failed: .*nothing/),
        hint: expect.stringContaining('.dockerignore'),
      });
    });

    it('builds one stage of several', async () => {
      const text = 'FROM scratch AS one\nLABEL stage=one\nFROM scratch AS two\nLABEL stage=two\n';
      const build = await buildOf(text, { needsBuildKit, target: 'one' });
      const { imageId, temporaryReference } = await buildInEngine(engine, build);
      expect(docker('image', 'inspect', '--format', '{{.Config.Labels.stage}}', imageId)).toBe('one');
      await removeImage(engine, temporaryReference);
    });

    it('ends a build that is interrupted, and leaves no image and no container', async () => {
      const before = tags();
      const label = `${prefix}-interrupted-${needsBuildKit}`;
      const stop = new AbortController();
      const build = await buildOf(`FROM ${base}\nLABEL x=${label}\nRUN echo started && sleep 60\n`, {
        needsBuildKit,
        signal: stop.signal,
        onStep: (line) => {
          if (/started$/.test(line) && !/RUN/.test(line)) stop.abort();
        },
      });
      await expect(buildInEngine(engine, build)).rejects.toMatchObject({ code: 'ABORTED' });
      expect(tags()).toBe(before);
      // The engine kills and removes it once it has noticed that nobody listens any more.
      const running = (): string => docker('ps', '-aq', '--filter', `label=x=${label}`);
      for (const deadline = Date.now() + 10_000; running() !== '' && Date.now() < deadline; );
      expect(running()).toBe('');
    });

    it('passes on the error of the context', async () => {
      const reason = new Error('apps/hello/main.go changed while it was read');
      const context = (): Readable => {
        return new Readable({
          read() {
            this.push(Buffer.alloc(512));
            this.destroy(reason);
          },
        });
      };
      const build = await buildOf('FROM scratch\n', { needsBuildKit, context });
      await expect(buildInEngine(engine, build)).rejects.toBe(reason);
    });
  });

  it('builds for another architecture', async () => {
    const build = await buildOf('FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /x\n', { platform: foreign }, [
      { name: foreign.architecture, content: 'right' },
    ]);
    const { imageId, temporaryReference } = await buildInEngine(engine, build);
    expect(docker('image', 'inspect', '--format', '{{.Architecture}}', imageId)).toBe(foreign.architecture);
    await removeImage(engine, temporaryReference);
  });

  it('refuses what came out for another architecture than was asked for', async () => {
    const build = await buildOf(`FROM ${base}\nLABEL a=b\n`, { platform: foreign });
    await expect(buildInEngine(engine, build)).rejects.toMatchObject({ code: 'ENGINE_BUILD_FAILED' });
  });

  it('may build the same twice at once, and each keeps its image until it is removed', async () => {
    const builds = await Promise.all(
      [1, 2].map(() => buildOf('FROM scratch\nCOPY f /f\n', {}, [{ name: 'f', content: prefix }])),
    );
    const [one, two] = await Promise.all(builds.map((build) => buildInEngine(engine, build)));
    await removeImage(engine, one!.temporaryReference);
    expect(docker('image', 'inspect', '--format', '{{.Id}}', two!.imageId)).toBe(two!.imageId);
    await removeImage(engine, two!.temporaryReference);
    await removeImage(engine, two!.temporaryReference);
  });

  it('hands out the built image as an archive that tar reads', async () => {
    const build = await buildOf('FROM scratch\nCOPY f /f\n', {}, [{ name: 'f', content: `save ${prefix}` }]);
    const { imageId, temporaryReference } = await buildInEngine(engine, build);
    const chunks: Buffer[] = [];
    for await (const chunk of await saveImage(engine, imageId)) chunks.push(chunk as Buffer);
    await removeImage(engine, temporaryReference);
    const list = execFileSync('tar', ['-tf', '-'], { input: Buffer.concat(chunks), encoding: 'utf8' });
    expect(list).toContain('manifest.json');
    expect(list).toContain(imageId.replace('sha256:', ''));
  });
});

/** An engine whose BuildKit can't begin, as Docker 23 to 27 with the containerd store. */
async function withFakeEngine(build: RequestListener, test: (engine: Engine) => Promise<void>): Promise<void> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '', 'http://engine');
    response.setHeader('Content-Type', 'application/json');
    if (pathname === '/_ping') response.end('OK');
    else if (pathname === '/version') response.end(JSON.stringify({ Os: 'linux', Arch: host.architecture }));
    else if (pathname === '/build') build(request, response);
    else response.end(JSON.stringify({ Id: 'sha256:1', Os: 'linux', Architecture: foreign.architecture }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    await test(await connectTo(`tcp://127.0.0.1:${(server.address() as { port: number }).port}`));
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

describe('with an engine whose BuildKit does not take a context', () => {
  const refusal = 'failed to read downloaded context: failed to load cache key: invalid response status 403';

  it.each(['refuses it', 'hangs'])(
    'which %s, falls back to the classic builder for a foreign platform',
    async (how) => {
      const asked: (string | null)[] = [];
      await withFakeEngine(
        (request, response) => {
          const query = new URL(request.url ?? '', 'http://engine').searchParams;
          asked.push(query.get('version'));
          request.resume().once('end', () => {
            if (query.get('version') !== '2') response.end('{"stream":"Step 1/1 : FROM scratch\\n"}\n');
            else if (how === 'refuses it') response.end(`${JSON.stringify({ error: refusal })}\n`);
          });
        },
        async (engine) => {
          const build = await buildOf('FROM scratch\n', { platform: foreign, buildKitTimeoutMs: 50 });
          expect(await buildInEngine(engine, build)).toMatchObject({ imageId: 'sha256:1' });
          expect(asked).toEqual(['2', null]);
          await expect(buildInEngine(engine, { ...build, needsBuildKit: true })).rejects.toMatchObject({
            code: 'ENGINE_BUILD_FAILED',
            message: expect.stringContaining('apps/hello/Dockerfile needs BuildKit'),
          });
        },
      );
    },
  );

  it('and breaks off in the middle of the answer, says so', async () => {
    await withFakeEngine(
      (request, response) => {
        request.resume().once('end', () => {
          response.write('{"stream":"Step 1/2 : FROM scratch\\n"}\n{"str', () => request.socket.destroy());
        });
      },
      async (engine) => {
        await expect(buildInEngine(engine, await buildOf('FROM scratch\n'))).rejects.toMatchObject({
          code: 'ENGINE_BUILD_FAILED',
          message: expect.stringMatching(/^The engine at tcp:.* broke off while building apps\/hello\/Dockerfile/),
        });
      },
    );
  });
});

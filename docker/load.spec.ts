import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describeWithEngine, engineHost } from '../e2e/support/engine';
import { compile, removeSuiteImages, writeSmallImage } from '../e2e/support/small-image';
import type { SlimGoError } from '../errors';
import { mergeArchives } from '../image/merged-archive';
import type { ImageRecord } from '../image/record';
import { hostContainerPlatform } from '../platform';
import { connectEngine, type Engine, findEngine } from './engine';
import { ensureAllLoaded, ensureLoaded } from './load';

const prefix = `slim-go-load-${process.pid}`;
const { architecture } = hostContainerPlatform();
let folder: string;
let program: string;

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'slim-go-load-'));
  program = compile('package main\nfunc main() { println("loaded") }\n');
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
  rmSync(path.dirname(program), { recursive: true, force: true });
});

function connectTo(host: string): Promise<Engine> {
  return connectEngine({ env: { DOCKER_HOST: host }, home: folder, platform: process.platform });
}

/** Another image each time: a label makes its ID. */
async function newImage(name: string, label = name): Promise<{ record: ImageRecord; archivePath: string }> {
  const archivePath = path.join(folder, `${name}-${label}.tar`);
  const references = [`${prefix}-${name}:latest`];
  const labels = { suite: prefix, image: `${name} ${label}` };
  return { record: await writeSmallImage(archivePath, { program, references, architecture, labels }), archivePath };
}

describeWithEngine('ensureLoaded', () => {
  let engine: Engine;

  /** The docker command is the judge of what the engine holds. */
  const docker = (...args: string[]): string =>
    execFileSync('docker', ['-H', engineHost ?? '', ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  const idOf = (reference: string): string => docker('image', 'inspect', '--format', '{{.Id}}', reference);

  beforeAll(async () => {
    engine = await connectTo(engineHost ?? '');
  });

  afterAll(() => {
    removeSuiteImages(engineHost, prefix);
  });

  it('loads an image that the engine lacks, which then runs, and finds it present the next time', async () => {
    const { record, archivePath } = await newImage('first');
    const request = { record, archivePath, references: record.references };
    const imageId = record.platforms[0]?.imageId ?? '';
    const loaded = await ensureLoaded(engine, request);
    expect(loaded).toEqual({ outcome: 'loaded', imageId, platform: `linux/${architecture}` });
    expect(idOf(`${prefix}-first`)).toBe(imageId);
    execFileSync('docker', ['-H', engineHost ?? '', 'run', '--rm', `${prefix}-first`]);
    rmSync(archivePath);
    expect(await ensureLoaded(engine, request)).toMatchObject({ outcome: 'present', imageId });
  });

  it('loads many at once, asks once for those that are there, and fails alone what is broken', async () => {
    const made = await Promise.all(['m1', 'm2', 'm3', 'm4', 'm5', 'm6'].map((name) => newImage(name)));
    const [there, moved, cut] = made;
    const request = ({ record, archivePath }: (typeof made)[number]) => ({
      record,
      archivePath,
      references: record.references,
    });
    await ensureLoaded(engine, request(there!));
    await ensureLoaded(engine, request(moved!));
    docker('tag', idOf(`${prefix}-m2`), `${prefix}-m2:other`);
    docker('rmi', `${prefix}-m2:latest`);
    truncateSync(cut!.archivePath, 100);
    const results = new Map<string, unknown>();
    const uploads: string[][] = [];
    const merge = (archivePaths: readonly string[]) => {
      uploads.push([...archivePaths]);
      return mergeArchives(archivePaths);
    };
    await ensureAllLoaded(engine, made.map(request), merge, ({ references }, result, error) => {
      results.set(references[0]!, result?.outcome ?? (error as SlimGoError).code);
    });
    const name = (image: string) => `${prefix}-${image}:latest`;
    expect(Object.fromEntries(results)).toEqual({
      [name('m1')]: 'present',
      [name('m2')]: 'retagged',
      [name('m3')]: 'ENGINE_LOAD_FAILED',
      [name('m4')]: 'loaded',
      [name('m5')]: 'loaded',
      [name('m6')]: 'loaded',
    });
    for (const [index, image] of ['m1', 'm2', undefined, 'm4', 'm5', 'm6'].entries()) {
      if (image) expect(idOf(name(image))).toBe(made[index]?.record.platforms[0]?.imageId);
    }
    const lacking = made.slice(2).map(({ archivePath }) => archivePath);
    // Never one image alone, and as many uploads as that leaves.
    expect(uploads).toEqual([lacking.slice(0, 2), lacking.slice(2)]);
    execFileSync('docker', ['-H', engineHost ?? '', 'run', '--rm', name('m6')]);
  });

  it('loads it again after docker rmi', async () => {
    const { record, archivePath } = await newImage('removed');
    const request = { record, archivePath, references: record.references };
    await ensureLoaded(engine, request);
    docker('rmi', '-f', idOf(`${prefix}-removed`));
    expect(await ensureLoaded(engine, request)).toMatchObject({ outcome: 'loaded' });
    expect(idOf(`${prefix}-removed`)).toBe(record.platforms[0]?.imageId);
  });

  it('takes a tag back that was moved to another image, without reading the archive', async () => {
    const one = await newImage('moved', 'one');
    const two = await newImage('moved', 'two');
    await ensureLoaded(engine, { ...one, references: one.record.references });
    docker('tag', `${prefix}-moved`, `${prefix}-kept`);
    await ensureLoaded(engine, { ...two, references: two.record.references });
    rmSync(one.archivePath);
    const back = await ensureLoaded(engine, { ...one, references: one.record.references });
    expect(back.outcome).toBe('retagged');
    expect(idOf(`${prefix}-moved`)).toBe(one.record.platforms[0]?.imageId);
  });

  it('adds references that the archive does not hold', async () => {
    const { record, archivePath } = await newImage('more');
    const references = [`${prefix}-more:1.2`, `localhost:5000/${prefix}-more:latest`];
    expect(await ensureLoaded(engine, { record, archivePath, references })).toMatchObject({ outcome: 'loaded' });
    for (const reference of references) expect(idOf(reference)).toBe(record.platforms[0]?.imageId);
    docker('rmi', references[0] ?? '');
    expect(await ensureLoaded(engine, { record, archivePath, references })).toMatchObject({ outcome: 'retagged' });
    docker('rmi', ...references);
  });

  it('may run several times at once', async () => {
    const { record, archivePath } = await newImage('together');
    const request = { record, archivePath, references: record.references };
    const results = await Promise.all(Array.from({ length: 5 }, () => ensureLoaded(engine, request)));
    for (const { imageId } of results) expect(imageId).toBe(record.platforms[0]?.imageId);
    expect(idOf(`${prefix}-together`)).toBe(record.platforms[0]?.imageId);
  });

  it('says that the archive is missing, or damaged, and what to run', async () => {
    const { record, archivePath } = await newImage('damaged');
    const request = { record, archivePath, references: record.references };
    truncateSync(archivePath, 700_000);
    await expect(ensureLoaded(engine, request)).rejects.toMatchObject({
      code: 'ENGINE_LOAD_FAILED',
      message: expect.stringMatching(/refused .*damaged-damaged\.tar: .*(EOF|no such file)/),
      hint: expect.stringContaining('image target'),
    });
    writeFileSync(archivePath, '');
    await expect(ensureLoaded(engine, request)).rejects.toMatchObject({ message: expect.stringContaining('is empty') });
    rmSync(archivePath);
    await expect(ensureLoaded(engine, request)).rejects.toMatchObject({ message: expect.stringContaining('ENOENT') });
    expect(() => idOf(`${prefix}-damaged`)).toThrow();
  });

  it('refuses a record and an archive that do not belong together', async () => {
    const one = await newImage('mixed', 'one');
    const two = await newImage('mixed', 'two');
    const request = { record: one.record, archivePath: two.archivePath, references: one.record.references };
    await expect(ensureLoaded(engine, request)).rejects.toMatchObject({
      code: 'ENGINE_LOAD_FAILED',
      message: expect.stringContaining(one.record.platforms[0]?.imageId ?? ''),
    });
  });

  it('refuses an image for another architecture and names both', async () => {
    const archivePath = path.join(folder, 'foreign.tar');
    const references = [`${prefix}-foreign:latest`];
    const record = await writeSmallImage(archivePath, { program, references, architecture: 's390x' });
    await expect(ensureLoaded(engine, { record, archivePath, references })).rejects.toMatchObject({
      code: 'PLATFORM_INVALID',
      message: expect.stringMatching(new RegExp(`runs linux/${architecture}.* is for linux/s390x`)),
    });
  });

  it('stops when it is interrupted', async () => {
    const { record, archivePath } = await newImage('stopped');
    const request = { record, archivePath, references: record.references, signal: AbortSignal.abort() };
    await expect(ensureLoaded(engine, request)).rejects.toMatchObject({ code: 'ABORTED' });
  });
});

/** Stands for engines that can't be had here: one that breaks off, and one with the containerd image store. */
async function withFakeEngine(answer: RequestListener, test: (engine: Engine) => Promise<void>): Promise<void> {
  const server = createServer((request, response) => {
    response.setHeader('Content-Type', 'application/json');
    if (request.url === '/_ping') response.end('OK');
    else if (request.url === '/version') response.end(JSON.stringify({ Os: 'linux', Arch: architecture }));
    else answer(request, response);
  });
  const socket = path.join(folder, 'engine.sock');
  server.listen(socket);
  await once(server, 'listening');
  try {
    await test(await connectTo(`unix://${socket}`));
  } finally {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  }
}

describe('with an engine that breaks off', () => {
  it.each(['request', 'response'])('in the middle of the %s, says so and that nothing was tagged', async (part) => {
    const { record, archivePath } = await newImage('broken');
    await withFakeEngine(
      (request, response) => {
        if (request.method === 'GET') response.writeHead(404).end('{"message":"no such image"}');
        else if (part === 'request') request.once('data', () => request.socket.destroy());
        else request.resume().once('end', () => response.write('{"status":"Load', () => request.socket.destroy()));
      },
      async (engine) => {
        await expect(
          ensureLoaded(engine, { record, archivePath, references: record.references }),
        ).rejects.toMatchObject({
          code: 'ENGINE_LOAD_FAILED',
          message: expect.stringMatching(/^The engine at unix:.* broke off while loading .*; nothing was tagged\.$/),
        });
      },
    );
  });
});

describe('with the containerd image store', () => {
  it.each(['manifestDigest', 'indexDigest'] as const)('knows the image by its %s', async (kind) => {
    const { record: single, archivePath } = await newImage('containerd');
    const indexDigest = `sha256:${'1'.repeat(64)}`;
    const other = { ...single.platforms[0]!, platform: 'linux/s390x', imageId: 'sha256:o', manifestDigest: 'sha256:p' };
    const record =
      kind === 'indexDigest' ? { ...single, indexDigest, platforms: [other, ...single.platforms] } : single;
    const id = kind === 'indexDigest' ? indexDigest : (single.platforms[0]?.manifestDigest ?? '');
    const names = new Map<string, string>();
    const requests: string[] = [];
    await withFakeEngine(
      (request, response) => {
        const url = new URL(request.url ?? '', 'http://engine');
        requests.push(`${request.method} ${url.pathname.replace(/sha256:.*\//, 'ID/')}`);
        const name = decodeURIComponent(/^\/images\/(.*)\/(json|tag)$/.exec(url.pathname)?.[1] ?? '');
        request.resume();
        if (url.pathname === '/images/load') {
          names.set(record.references[0] ?? '', id).set(id, id);
          response.end('{"stream":"Loaded image"}\n');
        } else if (!names.has(name)) response.writeHead(404).end('{"message":"no such image"}');
        else if (request.method === 'POST') {
          names.set(`${url.searchParams.get('repo')}:${url.searchParams.get('tag')}`, id);
          response.writeHead(201).end();
        } else response.end(JSON.stringify({ Id: id, Descriptor: { digest: id } }));
      },
      async (engine) => {
        const request = { record, archivePath, references: [...record.references, 'second:tag'] };
        const platform = `linux/${architecture}`;
        expect(await ensureLoaded(engine, request)).toEqual({ outcome: 'loaded', imageId: id, platform });
        expect(await ensureLoaded(engine, request)).toEqual({ outcome: 'present', imageId: id, platform });
        names.delete('second:tag');
        expect(await ensureLoaded(engine, request)).toMatchObject({ outcome: 'retagged', imageId: id });
        expect(requests.filter((line) => line === 'POST /images/load')).toHaveLength(1);
      },
    );
  });
});

describe('looking for an engine', () => {
  it('tells a missing socket, a refused connection and something else that listens from one another', async () => {
    await expect(connectTo(`unix://${path.join(folder, 'none.sock')}`)).rejects.toMatchObject({
      code: 'ENGINE_NOT_FOUND',
      message: expect.stringMatching(
        /^No container engine answers at unix:\S+ \(from DOCKER_HOST\): there is no such socket\.$/,
      ),
      hint: expect.stringContaining('DOCKER_HOST'),
    });
    const server = createServer((_, response) => response.writeHead(404).end()).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    await expect(connectTo(`tcp://127.0.0.1:${port}`)).rejects.toMatchObject({
      message: expect.stringContaining('something else listens there (it answered HTTP 404)'),
    });
    server.close();
    await once(server, 'close');
    await expect(connectTo(`tcp://127.0.0.1:${port}`)).rejects.toMatchObject({
      message: expect.stringContaining('connection refused'),
    });
  });

  it('gives undefined where nothing answers, and an error for a mistake in its address', async () => {
    const surroundings = { home: folder, platform: process.platform };
    const none = { ...surroundings, env: { DOCKER_HOST: `unix://${folder}/none.sock` } };
    expect(await findEngine(none)).toBeUndefined();
    await expect(findEngine({ ...surroundings, env: { DOCKER_CONTEXT: 'none' } })).rejects.toMatchObject({
      code: 'ENGINE_ENDPOINT_INVALID',
    });
  });
});

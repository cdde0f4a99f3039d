import { execFileSync } from 'node:child_process';
import { createReadStream, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describeWithEngine, engineHost } from '../e2e/support/engine';
import type { Platform } from '../platform';
import { writeArchive } from './archive';
import type { Image } from './image';
import { normaliseSavedImage } from './normalise';
import type { ImageRecord } from './record';
import { encodeHeader, endOfArchive, type TarMember } from './tar';

const host: Platform = { os: 'linux', architecture: process.arch === 'arm64' ? 'arm64' : 'amd64' };

let folder: string;
let runs = 0;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'slim-go-normalise-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { stdio: ['ignore', 'pipe', 'pipe'] }).toString();
}

interface Normalised {
  readonly image: Image;
  readonly record: ImageRecord;
  readonly file: string;
  readonly bytes: Buffer;
}

async function normalise(saved: Readable, platform = host): Promise<Normalised> {
  const spool = join(folder, `run-${++runs}`);
  mkdirSync(spool);
  const image = await normaliseSavedImage({ saved, platform, folder: spool });
  const file = join(spool, 'image.tar');
  const options = {
    images: [image],
    references: ['slim-go-normalise-spec:out'],
    hostPlatform: host,
    createdSeconds: 0,
  };
  const record = await writeArchive({ ...options, file });
  return { image, record, file, bytes: readFileSync(file) };
}

/** A tar in which members have given bytes. */
function tarOf(files: Readonly<Record<string, Buffer | string | { link: string }>>): Buffer {
  const blocks = Object.entries(files).flatMap(([path, value]) => {
    const shared = { name: Buffer.from(path), mode: 0o644, uid: 0, gid: 0 };
    if (typeof value === 'object' && 'link' in value) {
      return [encodeHeader({ ...shared, type: 'symlink', linkName: Buffer.from(value.link) }, 0)];
    }
    const content = Buffer.from(value as Buffer);
    const padding = Buffer.alloc((512 - (content.length % 512)) % 512);
    return [encodeHeader({ ...shared, type: 'file', content }, 0), content, padding];
  });
  return Buffer.concat([...blocks, endOfArchive]);
}

function listLayers({ file, record }: Normalised): string[] {
  const target = `${file}.d`;
  mkdirSync(target, { recursive: true });
  run('tar', '-xf', file, '-C', target);
  return record.platforms[0]!.layers.map(({ digest }) =>
    run('tar', '--numeric-owner', '-tvf', join(target, 'blobs/sha256', digest.slice(7)))
      .replace(/ +/g, ' ')
      .trimEnd(),
  );
}

describeWithEngine('normaliseSavedImage of what an engine built', () => {
  const docker = (...args: string[]) => run('docker', '--host', engineHost!, ...args);
  const base = 'slim-go-normalise-spec:base';
  const tags = ['a', 'b', 'out'].map((tag) => `slim-go-normalise-spec:${tag}`);

  beforeAll(() => {
    // A stand-in base image: no registry is asked.
    const root = join(folder, 'base');
    for (const name of ['bin', 'etc', 'tmp', 'opt/gone', 'opt/emptied'])
      mkdirSync(join(root, name), { recursive: true });
    run('cp', '/bin/busybox', join(root, 'bin/busybox'));
    run('ln', '-s', 'busybox', join(root, 'bin/sh'));
    writeFileSync(join(root, 'opt/gone/file'), 'gone');
    writeFileSync(join(root, 'opt/emptied/file'), 'old');
    const archive = join(folder, 'base.tar');
    run('tar', '-C', root, '-cf', archive, '.');
    docker('import', archive, base);
  });
  afterAll(() => {
    docker('rmi', '--force', ...tags, base);
  });

  const dockerfile = [
    `FROM ${base}`,
    'LABEL z=1 a=2',
    'ENV A=1',
    'WORKDIR /srv',
    'RUN busybox mkdir -p /d/z /d/a && echo one > /d/z/one && busybox ln /d/z/one /d/a/two && busybox mknod /d/null c 1 3 && busybox chmod 4711 /d/z/one',
    'RUN busybox rm -r /opt/gone && busybox rm -r /opt/emptied && busybox mkdir /opt/emptied && echo new > /opt/emptied/new && busybox chown 1000:2000 /opt/emptied/new',
    'COPY file /srv/file',
    'USER 65532:65532',
    'EXPOSE 8080',
    'CMD ["busybox", "cat", "/d/a/two", "/opt/emptied/new", "/srv/file"]',
  ].join('\n');

  function build(tag: string): void {
    const context = join(folder, `context-${tag}`);
    mkdirSync(context);
    writeFileSync(join(context, 'Dockerfile'), dockerfile);
    writeFileSync(join(context, 'file'), 'copied\n');
    execFileSync(
      'docker',
      ['--host', engineHost!, 'build', '-q', '--no-cache', '-t', `slim-go-normalise-spec:${tag}`, context],
      {
        env: { ...process.env, DOCKER_BUILDKIT: '0' },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
  }

  async function save(tag: string): Promise<Normalised> {
    const saved = join(folder, `${tag}.tar`);
    docker('save', '-o', saved, `slim-go-normalise-spec:${tag}`);
    return normalise(createReadStream(saved));
  }

  it('gives the same bytes for two builds, keeps what the image does, and loses nothing of its layers', async () => {
    build('a');
    build('b');
    const ids = ['a', 'b'].map((tag) => docker('inspect', '-f', '{{.Id}}', `slim-go-normalise-spec:${tag}`));
    expect(ids[0]).not.toBe(ids[1]);
    const a = await save('a');
    const b = await save('b');
    expect(a.bytes.equals(b.bytes)).toBe(true);

    expect(a.image.config).toEqual({
      User: '65532:65532',
      ExposedPorts: { '8080/tcp': {} },
      Env: expect.arrayContaining(['A=1']),
      Cmd: ['busybox', 'cat', '/d/a/two', '/opt/emptied/new', '/srv/file'],
      WorkingDir: '/srv',
      Labels: { z: '1', a: '2' },
    });
    expect(a.image.history.map(({ created_by }) => created_by)).toEqual(
      expect.arrayContaining([
        'LABEL z=1 a=2',
        'WORKDIR /srv',
        'USER 65532:65532',
        expect.stringMatching(/^COPY file:/),
      ]),
    );
    const layers = listLayers(a);
    expect(layers).toContainEqual(
      [
        'drwxr-xr-x 0/0 0 1970-01-01 00:00 d/',
        'drwxr-xr-x 0/0 0 1970-01-01 00:00 d/a/',
        '-rws--x--x 0/0 4 1970-01-01 00:00 d/a/two',
        'crw-r--r-- 0/0 1,3 1970-01-01 00:00 d/null',
        'drwxr-xr-x 0/0 0 1970-01-01 00:00 d/z/',
        'hrws--x--x 0/0 0 1970-01-01 00:00 d/z/one link to d/a/two',
      ].join('\n'),
    );
    expect(layers.some((layer) => layer.includes('opt/.wh.gone'))).toBe(true);

    docker('load', '-i', a.file);
    const wanted = a.record.platforms[0]!.imageId;
    expect(docker('inspect', '-f', '{{.Id}}', 'slim-go-normalise-spec:out').trim()).toBe(wanted);
    expect(docker('run', '--rm', '--user', '0', 'slim-go-normalise-spec:out')).toBe('one\nnew\ncopied\n');

    // The same tree as before, as the engine itself exports it.
    const trees = ['a', 'out'].map((tag) => {
      const container = docker('create', `slim-go-normalise-spec:${tag}`).trim();
      try {
        const exported = join(folder, `export-${tag}.tar`);
        docker('export', '-o', exported, container);
        // Which of two hardlinks is listed as the file depends on the order; sizes tell the same either way.
        const lines = run('tar', '--numeric-owner', '-tvf', exported).trimEnd().split('\n');
        return lines.map((line) => line.replace(/ +[\d,]+ \d{4}-\d\d-\d\d \d\d:\d\d /, ' ')).sort();
      } finally {
        docker('rm', container);
      }
    });
    expect(trees[1]).toEqual(trees[0]);
    expect(trees[0]!.join('\n')).not.toContain('opt/emptied/file');

    // A normalised image that was loaded and saved again is the same image.
    docker('tag', 'slim-go-normalise-spec:out', 'slim-go-normalise-spec:a');
    const again = await save('a');
    expect(again.record.platforms).toEqual(a.record.platforms);

    // The same image in the other forms that engines save, one of them compressed.
    const saved = join(folder, 'b.tar');
    for (const [form, ...flags] of [['oci-archive'], ['oci-archive', '--dest-compress'], ['docker-archive']]) {
      const copy = join(folder, `copy-${flags.length}.${form}`);
      run('skopeo', '--insecure-policy', 'copy', ...flags, `docker-archive:${saved}`, `${form}:${copy}:x:y`);
      const { record } = await normalise(createReadStream(copy));
      expect(record.platforms).toEqual(b.record.platforms);
    }
  });

  it('refuses an image of another platform than the one that was asked for', async () => {
    const saved = join(folder, 'base-saved.tar');
    docker('save', '-o', saved, base);
    await expect(normalise(createReadStream(saved), { os: 'linux', architecture: 's390x' })).rejects.toMatchObject({
      code: 'ENGINE_BUILD_FAILED',
      message: `The engine made an image for linux/${host.architecture}, not linux/s390x.`,
    });
  });
});

describe('normaliseSavedImage', () => {
  const config = JSON.stringify({
    os: 'linux',
    architecture: host.architecture,
    created: '2024-02-03T04:05:06.789Z',
    container: 'abc',
    docker_version: '20.10',
    container_config: { Cmd: ['x'] },
    config: {
      Hostname: 'abc',
      Image: 'sha256:1',
      Tty: false,
      Env: null,
      Entrypoint: [],
      Cmd: null,
      OnBuild: [],
      Labels: {},
      User: '',
      ArgsEscaped: true,
      Healthcheck: { Test: ['CMD', 'a'], Interval: 0, Retries: 3 },
    },
    history: [
      { created_by: '/bin/sh -c #(nop) COPY a in b ', created: 'x' },
      { created_by: 'COPY c d # buildkit', comment: 'buildkit.dockerfile.v0' },
      { created_by: 'CMD ["a"]', empty_layer: true },
    ],
  });
  const layer = (members: readonly TarMember[], mtimeSeconds: number) =>
    Buffer.concat([...members.map((member) => encodeHeader(member, mtimeSeconds)), endOfArchive]);
  const file = (name: string, records?: Record<string, Buffer>): TarMember => ({
    type: 'file',
    name: Buffer.from(name),
    mode: 0o755,
    uid: 1,
    gid: 2,
    ...(records ? { records: new Map(Object.entries(records)) } : {}),
  });

  it('reads the old layout, in which an equal layer is a link, and keeps capabilities to the byte', async () => {
    const capability = Buffer.from('0100000280ff0000000000000000000000000000', 'hex');
    const records = { 'SCHILY.xattr.security.capability': capability };
    const saved = (reverse: boolean, mtime: number) => {
      const members = [file('a', { ...records, mtime: Buffer.from(`${mtime}.5`) }), file('b')];
      return tarOf({
        'one/layer.tar': layer(reverse ? members.reverse() : members, mtime),
        'two/layer.tar': { link: '../one/layer.tar' },
        'config.json': config,
        'manifest.json': JSON.stringify([
          { Config: 'config.json', RepoTags: null, Layers: ['one/layer.tar', 'two/layer.tar'] },
        ]),
      });
    };
    const one = await normalise(Readable.from([saved(false, 1000)]));
    const two = await normalise(Readable.from([saved(true, 2000)]));
    expect(two.bytes.equals(one.bytes)).toBe(true);
    expect(one.bytes.includes(capability)).toBe(true);
    expect(one.image.config).toEqual({ Entrypoint: [], Healthcheck: { Test: ['CMD', 'a'], Retries: 3 } });
    expect(one.image.history).toEqual([
      { created_by: 'COPY a in b' },
      { created_by: 'COPY c d' },
      { created_by: 'CMD ["a"]', empty_layer: true },
    ]);
    expect(one.record.platforms[0]!.layers).toHaveLength(2);
  });

  it('names what is wrong with an archive', async () => {
    const manifest = (entry: object) => JSON.stringify([entry]);
    const cases: [Buffer, string][] = [
      [Buffer.from('no tar at all'.repeat(100)), 'there is no valid tar header at byte 0'],
      [tarOf({ 'a.txt': 'x' }), 'it lacks index.json'],
      [tarOf({ 'manifest.json': '[{' }), 'manifest.json is no JSON'],
      [tarOf({ 'manifest.json': manifest({ Config: 'c', Layers: [] }) }), 'it lacks c'],
      [tarOf({ 'manifest.json': manifest({ Config: 'c', Layers: ['l'] }), c: config, l: { link: 'l' } }), 'it lacks l'],
      [
        tarOf({
          'manifest.json': manifest({ Config: 'c', Layers: ['l'] }),
          c: config,
          l: Buffer.from('1f8b080000', 'hex'),
        }),
        'a compressed layer is damaged',
      ],
      [
        tarOf({
          'manifest.json': manifest({ Config: 'c', Layers: ['l'] }),
          c: config,
          l: Buffer.from('28b52ffd00', 'hex'),
        }),
        'compressed with zstd',
      ],
    ];
    for (const [bytes, message] of cases) {
      await expect(normalise(Readable.from([bytes]))).rejects.toMatchObject({
        code: 'ARCHIVE_INVALID',
        message: expect.stringContaining(message),
      });
    }
  });

  it('stops when it is told to, while the engine is still sending', async () => {
    const abort = new AbortController();
    const saved = new Readable({ read: () => {} });
    saved.push(Buffer.alloc(512));
    const result = normaliseSavedImage({ saved, platform: host, folder, signal: abort.signal });
    abort.abort();
    await expect(result).rejects.toMatchObject({ code: 'ABORTED' });
    expect(saved.destroyed).toBe(true);
  });
});

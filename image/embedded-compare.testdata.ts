import { createHash } from 'node:crypto';
import { createReadStream, openAsBlob } from 'node:fs';
import { PassThrough, type Readable } from 'node:stream';
import type Docker from 'dockerode';
import { extract } from 'tar-stream';
import { openContext, packContext } from './context';
import type { FileContent, Image } from './image';

/** Everything that two builds of one Dockerfile must have in common. */
export interface Outcome {
  /** Path to `type mode uid:gid content`. */
  readonly files: Readonly<Record<string, string>>;
  readonly config: Readonly<Record<string, unknown>>;
  readonly author: string;
}

const fields = [
  'User',
  'ExposedPorts',
  'Env',
  'Entrypoint',
  'Cmd',
  'Volumes',
  'WorkingDir',
  'Labels',
  'StopSignal',
  'Healthcheck',
  'Shell',
  'OnBuild',
];

/** The compared part of a config; absent, null and empty say the same. */
function normaliseConfig(config: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const isEmpty = (value: unknown) =>
    value === undefined ||
    value === null ||
    value === '' ||
    (typeof value === 'object' && Object.keys(value).length === 0);
  return Object.fromEntries(fields.filter((field) => !isEmpty(config[field])).map((field) => [field, config[field]]));
}

function describe(type: string, mode: number, uid: number, gid: number, content: string): string {
  return `${type} ${(type === 'symlink' ? 0o777 : mode & 0o7777).toString(8)} ${uid}:${gid} ${content}`;
}

function digest(bytes: Uint8Array): string {
  return `${bytes.length} ${createHash('sha256').update(bytes).digest('hex').slice(0, 12)}`;
}

async function bytesOf(content: FileContent): Promise<Uint8Array> {
  if (content instanceof Uint8Array) return content;
  const blob = await openAsBlob(content.path);
  const end = content.offsetBytes + content.sizeBytes;
  return new Uint8Array(await blob.slice(content.offsetBytes, end).arrayBuffer());
}

/** Applies the layers of an image, in the plainest way. */
export async function outcomeOfImage(image: Image): Promise<Outcome> {
  const files = new Map<string, string>();
  for (const layer of image.layers) {
    if ('tar' in layer) {
      const { path, offsetBytes: start, sizeBytes } = layer.tar;
      const added = await readTar(createReadStream(path, { start, end: start + sizeBytes - 1 }), files);
      for (const [name, what] of added) files.set(name, what);
      continue;
    }
    for (const entry of layer.entries) {
      if (entry.type !== 'directory')
        for (const path of files.keys()) if (path.startsWith(`${entry.path}/`)) files.delete(path);
      const content =
        entry.type === 'file' ? digest(await bytesOf(entry.content)) : entry.type === 'directory' ? '' : entry.target;
      files.set(entry.path, describe(entry.type, entry.mode, entry.uid, entry.gid, content));
    }
  }
  const sorted = Object.fromEntries([...files].sort(([a], [b]) => (a < b ? -1 : 1)));
  return { files: sorted, config: normaliseConfig({ ...image.config }), author: image.author ?? '' };
}

/** What the engine itself puts into every container, and the Dockerfile that `packContext` put into the context. */
const engineFiles =
  /^((.*\/)?\.dockerfile\.[0-9a-f]{16}$|\.dockerenv|dev|proc|sys|etc\/(hosts|hostname|resolv\.conf|mtab))($|\/)/;

/** Builds with a real engine, makes a container, exports its files. */
export async function outcomeOfEngine(
  docker: Docker,
  tag: string,
  build: {
    dockerfile: string;
    context: string;
    buildArgs?: Readonly<Record<string, string>>;
    target?: string;
    version: '1' | '2';
  },
): Promise<Outcome> {
  const packed = packContext(openContext(build.context, build.dockerfile), build.dockerfile);
  const stream = await docker.buildImage(packed.stream(), {
    t: tag,
    dockerfile: packed.dockerfile,
    buildargs: { ...build.buildArgs },
    target: build.target ?? '',
    nocache: false,
    // dockerode opens a session for the string '2'; the number is what the API needs.
    version: Number(build.version) as unknown as '2',
  });
  await new Promise<void>((done, fail) => {
    docker.modem.followProgress(stream, (error, output) => {
      const broken = error ?? output?.find((event: { error?: string }) => event.error)?.error;
      if (broken) fail(new Error(String(broken)));
      else done();
    });
  });
  const inspected = await docker.getImage(tag).inspect();
  return {
    files: await filesOfEngine(docker, tag),
    config: normaliseConfig(inspected.Config as unknown as Record<string, unknown>),
    author: inspected.Author,
  };
}

/** Files of an image in an engine: a container is made, exported and removed. */
export async function filesOfEngine(docker: Docker, tag: string): Promise<Outcome['files']> {
  const container = await docker.createContainer({ Image: tag, Cmd: ['/x'], Entrypoint: ['/x'] });
  try {
    const files = await readTar((await container.export()) as unknown as Readable);
    // /etc is there for the engine's files even where the image has none.
    const onlyEngineEtc = ![...files.keys()].some((path) => path.startsWith('etc/') && !engineFiles.test(path));
    const kept = [...files].filter(([path]) => !engineFiles.test(path) && !(path === 'etc' && onlyEngineEtc));
    return Object.fromEntries(kept.sort(([a], [b]) => (a < b ? -1 : 1)));
  } finally {
    await container.remove({ force: true });
  }
}

/** Reads a tar into the form of `Outcome.files`. */
async function readTar(stream: Readable, below: ReadonlyMap<string, string> = new Map()): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  const entries = extract();
  stream.pipe(new PassThrough()).pipe(entries);
  for await (const entry of entries) {
    const chunks: Buffer[] = [];
    for await (const chunk of entry) chunks.push(chunk as Buffer);
    const { name, type, mode = 0, uid = 0, gid = 0, linkname } = entry.header;
    const path = name.replace(/^\.?\//, '').replace(/\/$/, '');
    if (path === '') continue;
    if (type === 'link') {
      const linked = (linkname ?? '').replace(/^\.?\//, '');
      files.set(path, files.get(linked) ?? below.get(linked) ?? 'a hard link to nothing');
      continue;
    }
    const content = type === 'file' ? digest(Buffer.concat(chunks)) : type === 'symlink' ? (linkname ?? '') : '';
    files.set(path, describe(type ?? 'file', mode, uid, gid, content));
  }
  return files;
}

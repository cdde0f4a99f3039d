/** Images of one static Go program, written by hand as `docker save` would: for tests of what is done with images. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pack } from 'tar-stream';
import type { ImageRecord } from '../../image/record';

/** Compiles `source` for linux without cgo. Returns the binary's path, in a temporary folder that the test removes. */
export function compile(source: string): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'slim-go-program-'));
  writeFileSync(path.join(folder, 'main.go'), source);
  const env = { ...process.env, CGO_ENABLED: '0', GOOS: 'linux', GOFLAGS: '', GOWORK: 'off' };
  execFileSync('go', ['build', '-ldflags=-s -w', '-o', path.join(folder, 'program'), 'main.go'], { cwd: folder, env });
  return path.join(folder, 'program');
}

export interface TarFile {
  readonly name: string;
  readonly content: string | Buffer;
  /** Default 0o644. */
  readonly mode?: number;
}

export async function tar(files: readonly TarFile[]): Promise<Buffer> {
  const archive = pack();
  for (const { name, content, mode = 0o644 } of files) archive.entry({ name, mode, mtime: new Date(0) }, content);
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

const sha256 = (data: string | Buffer): string => createHash('sha256').update(data).digest('hex');

export interface SmallImage {
  /** Absolute; the image's `/program`. */
  readonly program: string;
  readonly references: readonly string[];
  /** `amd64`, `arm64`. */
  readonly architecture: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly mode?: number;
}

/** Writes a docker-archive to `file` and returns the record that describes it. */
export async function writeSmallImage(file: string, image: SmallImage): Promise<ImageRecord> {
  const layer = await tar([{ name: 'program', content: await readFile(image.program), mode: image.mode ?? 0o755 }]);
  const config = JSON.stringify({
    architecture: image.architecture,
    os: 'linux',
    created: '1970-01-01T00:00:00Z',
    config: { Entrypoint: ['/program'], Labels: image.labels ?? {} },
    rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(layer)}`] },
    history: [{ created: '1970-01-01T00:00:00Z', created_by: 'COPY program /program' }],
  });
  const manifest = [{ Config: `${sha256(config)}.json`, RepoTags: image.references, Layers: ['layer.tar'] }];
  await writeFile(
    file,
    await tar([
      { name: 'manifest.json', content: JSON.stringify(manifest) },
      { name: `${sha256(config)}.json`, content: config },
      { name: 'layer.tar', content: layer },
    ]),
  );
  const platform = {
    platform: `linux/${image.architecture}`,
    imageId: `sha256:${sha256(config)}`,
    manifestDigest: `sha256:${sha256(`manifest of ${config}`)}`,
    sizeBytes: layer.length + config.length,
    layers: [{ diffId: `sha256:${sha256(layer)}`, digest: `sha256:${sha256(layer)}`, sizeBytes: layer.length }],
  };
  return { references: image.references, platforms: [platform] };
}

/** Removes the images that carry the label `suite=<suite>`, cached build steps (which inherit it) among them. */
export function removeSuiteImages(host: string | undefined, suite: string): void {
  const docker = (...args: string[]): string =>
    execFileSync('docker', ['-H', host ?? '', ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  const left = (): string[] => docker('images', '--no-trunc', '-aq', '--filter', `label=suite=${suite}`).split('\n');
  // A parent is refused while it has children, and goes with its last child: so child by child, until nothing moves.
  for (
    let images = left(), before = 0;
    images[0] && images.length !== before;
    before = images.length, images = left()
  ) {
    for (const image of new Set(images)) {
      try {
        docker('rmi', '-f', image);
      } catch {
        // Its turn comes in the next round, or it went with its child.
      }
    }
  }
  if (left()[0]) throw new Error(`Images of ${suite} could not be removed: ${left().join(' ')}`);
}

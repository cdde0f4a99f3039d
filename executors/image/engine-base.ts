import { homedir } from 'node:os';
import { saveImage } from '../../docker/build';
import { connectEngine } from '../../docker/engine';
import { SlimGoError } from '../../errors';
import type { Image } from '../../image/image';
import { normaliseSavedImage } from '../../image/normalise';
import { familiarReference, type Reference } from '../../image/reference';
import { formatPlatform, type Platform } from '../../platform';
import { bestMatch } from '../../registry/pull';
import type { Pin } from './lock';

/** The ID of the image that the container engine has under this name. @throws ENGINE_NOT_FOUND, ENGINE_BUILD_FAILED */
export async function findImageId(reference: Reference, platform: Platform, env: NodeJS.ProcessEnv): Promise<string> {
  return (await inspect(reference, platform, env)).imageId;
}

/**
 * A base image out of the container engine. Its layers are written anew, with fixed times: engines don't keep the bytes.
 * @param folder an existing empty one, which stays until the image has been written
 * @throws ENGINE_NOT_FOUND, ENGINE_BUILD_FAILED where it has no such image; OPTION_INVALID where it has another than the
 *   pinned one; ARCHIVE_INVALID, ABORTED
 */
export async function readImage(options: {
  readonly reference: Reference;
  readonly platform: Platform;
  readonly pin: Pin;
  readonly folder: string;
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
}): Promise<Image> {
  const { reference, platform, pin, folder, env, signal } = options;
  const { engine, imageId, digests } = await inspect(reference, platform, env);
  const isPinned = 'imageId' in pin ? imageId === pin.imageId : digests.some((name) => name.endsWith(`@${pin.digest}`));
  if (!isPinned) {
    const wanted = 'imageId' in pin ? pin.imageId : pin.digest;
    throw new SlimGoError(
      'OPTION_INVALID',
      `image.lock.json pins ${familiarReference(reference)} to ${wanted}; the container engine has another image of that name (${imageId}).`,
      { hint: 'Give the engine that image again, or move the pin with the target update-base.' },
    );
  }
  const saved = await saveImage(engine, imageId, signal);
  return normaliseSavedImage({ saved, platform, folder, signal });
}

async function inspect(reference: Reference, platform: Platform, env: NodeJS.ProcessEnv) {
  const engine = await connectEngine({ env, home: homedir(), platform: process.platform });
  const name = familiarReference(reference);
  const failed = (what: string, cause?: unknown) =>
    new SlimGoError('ENGINE_BUILD_FAILED', `The engine at ${engine.host} has ${what}.`, { cause });
  const image = await engine.docker
    .getImage(name)
    .inspect()
    .catch((error: unknown) => {
      throw failed(`no image ${name}`, error);
    });
  const found: Platform = {
    os: image.Os,
    architecture: image.Architecture,
    ...(image.Variant ? { variant: image.Variant } : {}),
  };
  if (!bestMatch(platform, [{ platform: found }])) {
    throw failed(`${name} for ${formatPlatform(found)}, not for ${formatPlatform(platform)}`);
  }
  return { engine, imageId: image.Id, digests: image.RepoDigests ?? [] };
}

import { posix } from 'node:path';
import { SlimGoError } from '../errors';

/** A folder in OCI layout that stands for a base image, as `docker build --build-context` names it. */
export interface LayoutContext {
  /** Relative to the workspace root, `/`-separated. */
  readonly folder: string;
  /** Which of its images, where it holds several. */
  readonly tag: string | undefined;
}

/**
 * Reads `oci-layout://<folder>[:<tag>]`; undefined for what begins otherwise.
 * @throws OPTION_INVALID for a folder outside of the workspace: its files would be no part of the cache key
 */
export function parseLayoutContext(text: string): LayoutContext | undefined {
  const [, path, tag] = /^oci-layout:\/\/(.*?)(?::([\w.-]+))?$/.exec(text) ?? [];
  if (path === undefined) return undefined;
  const folder = posix.normalize(path);
  if (!posix.isAbsolute(folder) && !/^\.\.(?:\/|$)/.test(folder)) return { folder, tag };
  throw new SlimGoError('OPTION_INVALID', `The build context "${text}" lies outside of the workspace.`, {
    hint: 'Its files would be no part of the cache key: name a folder of the workspace.',
  });
}

import type { Image } from '../../image/image';
import { contentBytes } from '../../image/tar';

/** Size of the program that the image starts; undefined where it is no plain file of a layer that is yet to be written. */
export function entrypointBytes({ config, layers }: Image): number | undefined {
  const program = (config.Entrypoint ?? config.Cmd)?.[0]?.replace(/^\//, '');
  const entry = layers
    .flatMap((layer) => ('entries' in layer ? layer.entries : []))
    .findLast(({ path }) => path === program);
  return entry?.type === 'file' ? contentBytes(entry.content) : undefined;
}

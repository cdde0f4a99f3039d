import { existsSync, readFileSync } from 'node:fs';
import { SlimGoError } from '../../errors';
import { replaceFile, writeAt } from '../../image/replace-file';

/** What a tag stood for when it was pinned. */
export type Pin =
  /** Digest of the manifest or index in the registry. */
  | { readonly digest: string }
  /** No registry has it: the ID that the container engine knows it by. */
  | { readonly imageId: string };

/** By reference, in the short form: `alpine:3.22`. */
export type Pins = Readonly<Record<string, Pin>>;

/** The pins of image.lock.json; none where there is no such file. @throws OPTION_INVALID */
export function readPins(file: string): Pins {
  if (!existsSync(file)) return {};
  const invalid = (cause?: unknown) =>
    new SlimGoError('OPTION_INVALID', `${file} is not what slim-go wrote.`, {
      hint: 'Restore it, or delete it: base images are then pinned anew.',
      cause,
    });
  let images: unknown;
  try {
    ({ images } = JSON.parse(readFileSync(file, 'utf8')) as { images?: unknown });
  } catch (error) {
    throw invalid(error);
  }
  if (typeof images !== 'object' || images === null) throw invalid();
  for (const pin of Object.values(images)) {
    const { digest, imageId } = (pin ?? {}) as Record<string, unknown>;
    if (!/^sha256:[0-9a-f]{64}$/.test(String(digest ?? imageId))) throw invalid();
  }
  return images as Pins;
}

/** @throws WRITE_FAILED, ABORTED */
export async function writePins(file: string, pins: Pins, signal: AbortSignal): Promise<void> {
  const images = Object.fromEntries(Object.entries(pins).sort(([a], [b]) => (a < b ? -1 : 1)));
  const bytes = Buffer.from(`${JSON.stringify({ images }, null, 2)}\n`);
  await replaceFile(file, async (handle) => writeAt(handle, bytes, 0), signal);
}

export function pinned(pin: Pin): string {
  return 'digest' in pin ? pin.digest : pin.imageId;
}

import { createReadStream, type ReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import type { Readable } from 'node:stream';
import { SlimGoError } from '../errors';
import type { ImageRecord, PlatformRecord } from '../image/record';
import { inParallel } from '../parallel';
import { formatPlatform, parsePlatform } from '../platform';
import { aborted, type Engine, engineMessage, type ListedImage, statusOf } from './engine';
import { failureOf, progressEvents } from './progress';

/** What an engine is to hold. */
export interface LoadRequest {
  readonly record: ImageRecord;
  /** Absolute path of the image.tar that `record` describes. Read only when the engine lacks the image. */
  readonly archivePath: string;
  /** Each with a tag and without a digest: `hello:latest`. Usually those of `record`. */
  readonly references: readonly string[];
  readonly signal?: AbortSignal;
}

/** What had to be done, and what the engine has now. */
export interface LoadResult {
  /** `present`: nothing to do. `retagged`: the image was there, some of the references were not. */
  readonly outcome: 'present' | 'retagged' | 'loaded';
  /** The ID under which this engine knows the image (`sha256:...`); see ImageRecord. */
  readonly imageId: string;
  /** `linux/amd64`. */
  readonly platform: string;
}

/**
 * Makes it true that the engine has exactly this image under these references, with as little work as that takes: asking
 * costs about a millisecond, tagging two, loading as much as the image is large. Loading also applies the references that the
 * archive itself holds (`record.references`), whether they are asked for or not.
 * @throws ENGINE_LOAD_FAILED, PLATFORM_INVALID (the archive holds nothing for this engine's platform), ABORTED
 */
export async function ensureLoaded(engine: Engine, request: LoadRequest): Promise<LoadResult> {
  const { record, references } = request;
  const loading = new Loading(engine, request);
  try {
    // With one platform there is no choice: the engine's own is asked only once something has to be loaded.
    const wanted = record.platforms.length === 1 ? record.platforms : await platformsFor(engine, record);
    let wrong = await loading.wrongReferences(wanted, references);
    if (wrong.length === 0) return loading.result('present', wanted);

    loading.found ??= await loading.findById(wanted);
    if (loading.found !== undefined && (await loading.tag(wrong))) {
      return loading.result('retagged', wanted);
    }

    await platformsFor(engine, record);
    await loading.load();
    loading.found = undefined;
    wrong = await loading.wrongReferences(wanted, references);
    loading.found ??= await loading.findById(wanted);
    if (loading.found === undefined) {
      throw new SlimGoError(
        'ENGINE_LOAD_FAILED',
        `The engine at ${engine.host} took ${request.archivePath}, and now has no image ${wanted.map((one) => one.imageId).join(' or ')}.`,
        {
          hint: 'Run the image target again: image.json and image.tar may not belong together, or the archive was made for another platform.',
        },
      );
    }
    if (wrong.length > 0) await loading.tag(wrong);
    const stillWrong = await loading.wrongReferences(wanted, references);
    if (stillWrong.length > 0) {
      throw new SlimGoError(
        'ENGINE_LOAD_FAILED',
        `The engine at ${engine.host} has the image, but ${stillWrong.join(', ')} names another one.`,
        { hint: 'Something else tagged it at the same time. Run this again.' },
      );
    }
    return loading.result('loaded', wanted);
  } catch (error) {
    if (request.signal?.aborted) throw aborted(`Loading ${references[0] ?? request.archivePath}`);
    if (error instanceof SlimGoError) throw error;
    throw await loading.brokenOff(error);
  }
}

/** So much is in one upload of many images: the engine keeps all of it on its disk meanwhile. */
const maxMergedBytes = 250_000_000;
const maxMerged = 16;
/** At once for each core: one alone leaves the core idle while the engine starts a process for each layer. */
const uploadsPerCore = 2;
/** At once on any machine: together they put 4 GB on the engine's disk at most. */
const maxUploads = 16;

/**
 * `ensureLoaded` for many images: the engine is asked once for all that it has, and gets what it lacks in archives of several
 * images each, several at once.
 * @param merge one archive of several
 * @param done is called once for each request, with what became of it or why it failed
 * @throws what the engine answers when it can't be asked at all
 */
export async function ensureAllLoaded<Request extends LoadRequest>(
  engine: Engine,
  requests: readonly Request[],
  merge: (archivePaths: readonly string[]) => Readable,
  done: (request: Request, result: LoadResult | undefined, error?: unknown) => void,
): Promise<void> {
  const finish = async (request: Request, wasSent: boolean): Promise<void> => {
    try {
      const result = await ensureLoaded(engine, request);
      done(request, wasSent && result.outcome === 'present' ? { ...result, outcome: 'loaded' } : result);
    } catch (error) {
      done(request, undefined, error);
    }
  };
  const listed = requests.length > 1 ? await engine.listImages() : [];
  const tags = new Map(listed.flatMap((image) => (image.RepoTags ?? []).map((tag) => [tag, image] as const)));
  const lacking: Request[] = [];
  const others: Request[] = [];
  for (const request of requests) {
    const { record, references } = request;
    const loading = new Loading(engine, request);
    const wanted = record.platforms;
    if (requests.length > 1 && references.every((reference) => loading.accept(tags.get(reference), wanted))) {
      done(request, loading.result('present', wanted));
    } else if (requests.length > 1 && !listed.some((image) => loading.accept(image, wanted))) {
      lacking.push(request);
    } else others.push(request);
  }
  const uploads = Math.min(maxUploads, uploadsPerCore * availableParallelism());
  await inParallel(others, uploads, (request) => finish(request, false));
  await inParallel(await shares(lacking, uploads), uploads, async (share) => {
    const { signal } = share[0]!;
    // Whatever goes wrong here is found, and told, by what follows.
    const wasSent = share.length > 1 && (await sendMerged(engine, share, merge, signal));
    for (const request of share) await finish(request, wasSent);
  });
}

/** The requests in `uploads` equal parts: in fewer where one would hold a single image, in more where it would be too large. */
async function shares<Request extends LoadRequest>(
  requests: readonly Request[],
  uploads: number,
): Promise<Request[][]> {
  const count = Math.min(maxMerged, Math.max(2, Math.ceil(requests.length / uploads)));
  const found: Request[][] = [];
  let bytes = 0;
  for (const request of requests) {
    const sizeBytes = await stat(request.archivePath).then(
      ({ size }) => size,
      () => 0,
    );
    const last = found.at(-1);
    if (last === undefined || last.length >= count || bytes + sizeBytes > maxMergedBytes) {
      found.push([request]);
      bytes = sizeBytes;
    } else {
      last.push(request);
      bytes += sizeBytes;
    }
  }
  return found;
}

/** False where the engine did not take it. */
async function sendMerged(
  engine: Engine,
  requests: readonly LoadRequest[],
  merge: (archivePaths: readonly string[]) => Readable,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  let archive: Readable | undefined;
  try {
    archive = merge(requests.map(({ archivePath }) => archivePath));
    for await (const event of progressEvents(await engine.loadImage(archive, signal))) {
      if (failureOf(event) !== undefined) return false;
    }
    return true;
  } catch {
    return false;
  } finally {
    archive?.destroy();
  }
}

/** The record's platforms that this engine runs. Several variants of an architecture may fit; the engine chooses. */
async function platformsFor(engine: Engine, record: ImageRecord): Promise<readonly PlatformRecord[]> {
  const platform = await engine.platform();
  const fitting = record.platforms.filter((one) => {
    const { os, architecture } = parsePlatform(one.platform);
    return os === platform.os && architecture === platform.architecture;
  });
  if (fitting.length > 0) return fitting;
  throw new SlimGoError(
    'PLATFORM_INVALID',
    `The engine at ${engine.host} runs ${formatPlatform(platform)}, and the image is for ${record.platforms.map((one) => one.platform).join(', ')}.`,
    {
      hint: `Add ${formatPlatform(platform)} to the \`platforms\` of the build and image targets, or push the image instead.`,
    },
  );
}

/** The steps of one ensureLoaded, and the image they have found so far. */
class Loading {
  /** The engine's ID of the wanted image, once one was seen. */
  found: string | undefined;

  constructor(
    private readonly engine: Engine,
    private readonly request: LoadRequest,
  ) {}

  result(outcome: LoadResult['outcome'], wanted: readonly PlatformRecord[]): LoadResult {
    const imageId = this.found ?? '';
    const exact = wanted.find((one) => one.imageId === imageId || one.manifestDigest === imageId);
    return { outcome, imageId, platform: (exact ?? wanted[0])?.platform ?? '' };
  }

  /** Those of `references` that name no image, or another one. */
  async wrongReferences(wanted: readonly PlatformRecord[], references: readonly string[]): Promise<readonly string[]> {
    const images = await Promise.all(references.map((reference) => this.inspect(reference)));
    return references.filter((_, index) => !this.accept(images[index], wanted));
  }

  /** The engine's ID of the image under any of the digests it may have there. */
  async findById(wanted: readonly PlatformRecord[]): Promise<string | undefined> {
    const { indexDigest } = this.request.record;
    const digests = [
      ...wanted.flatMap((one) => [one.imageId, one.manifestDigest]),
      ...(indexDigest ? [indexDigest] : []),
    ];
    for (const digest of digests) {
      const image = await this.inspect(digest);
      if (image !== undefined && this.accept(image, wanted)) return image.Id;
    }
    return undefined;
  }

  /** False where the image went away meanwhile. */
  async tag(references: readonly string[]): Promise<boolean> {
    try {
      for (const reference of references) {
        const colon = reference.lastIndexOf(':');
        await this.engine.tagImage(this.found ?? '', reference.slice(0, colon), reference.slice(colon + 1));
      }
      return true;
    } catch (error) {
      if (statusOf(error) === 404) return false;
      throw error;
    }
  }

  async load(): Promise<void> {
    const { archivePath, signal } = this.request;
    const archive = await openArchive(archivePath);
    const failed = (what: string): SlimGoError =>
      new SlimGoError('ENGINE_LOAD_FAILED', `The engine at ${this.engine.host} refused ${archivePath}: ${what}`, {
        hint: 'Run the image target again (with --skip-nx-cache if the archive is damaged).',
      });
    try {
      const answer = await this.engine.loadImage(archive, signal);
      for await (const event of progressEvents(answer)) {
        const failure = failureOf(event);
        if (failure !== undefined) throw failed(failure);
      }
    } catch (error) {
      // An engine that refuses in the middle of the upload may close the connection before its answer can be read.
      if (statusOf(error) !== undefined) throw failed(engineMessage(error));
      throw error;
    } finally {
      archive.destroy();
    }
  }

  /** The engine went away: what it holds is told where it can be asked again. */
  async brokenOff(cause: unknown): Promise<SlimGoError> {
    const { record, references } = this.request;
    const what = references[0] ?? this.request.archivePath;
    let state = '';
    try {
      const wrong = await this.wrongReferences(record.platforms, references);
      if (wrong.length === references.length) state = '; nothing was tagged';
    } catch {
      // It does not answer any more: nothing can be said about its images.
    }
    return new SlimGoError(
      'ENGINE_LOAD_FAILED',
      `The engine at ${this.engine.host} broke off while loading ${what} (${engineMessage(cause)})${state}.`,
      { hint: 'See whether the engine is running and has disk space left, then run this again.', cause },
    );
  }

  private async inspect(name: string): Promise<ListedImage | undefined> {
    try {
      return await this.engine.inspectImage(name);
    } catch (error) {
      if (statusOf(error) === 404) return undefined;
      throw error;
    }
  }

  /** Whether the image is one of those that are wanted. */
  accept(image: ListedImage | undefined, wanted: readonly PlatformRecord[]): boolean {
    if (image === undefined) return false;
    const right = [image.Id, image.Descriptor?.digest].some(
      (digest) =>
        digest !== undefined &&
        (digest === this.request.record.indexDigest ||
          wanted.some((one) => digest === one.imageId || digest === one.manifestDigest)),
    );
    if (right) this.found = image.Id;
    return right;
  }
}

async function openArchive(archivePath: string): Promise<ReadStream> {
  try {
    const { size } = await stat(archivePath);
    if (size > 0) return createReadStream(archivePath, { highWaterMark: 1024 * 1024 });
  } catch (error) {
    throw new SlimGoError('ENGINE_LOAD_FAILED', `${archivePath} can't be read: ${(error as Error).message}.`, {
      hint: 'Run the image target again.',
      cause: error,
    });
  }
  throw new SlimGoError('ENGINE_LOAD_FAILED', `${archivePath} is empty.`, { hint: 'Run the image target again.' });
}

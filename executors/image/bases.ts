import { mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { SlimGoError } from '../../errors';
import { type BaseImages, type BaseReference, baseKey, type DockerfilePlan } from '../../image/dockerfile/plan';
import type { Image } from '../../image/image';
import { parseLayoutContext } from '../../image/layout-context';
import { familiarReference, parseReference, type Reference } from '../../image/reference';
import { formatPlatform } from '../../platform';
import { BlobCache } from '../../registry/blob-cache';
import { pullImage } from '../../registry/pull';
import { type ImageSource, LayoutSource, RegistrySource } from '../../registry/source';
import { registryClient } from '../registry-client';
import { formatSize } from '../report';
import type * as EngineBase from './engine-base';
import { type Pin, pinned, readPins, writePins } from './lock';

export interface BaseOptions {
  /** Absolute. */
  readonly workspace: string;
  /** Absolute path of image.lock.json. */
  readonly lock: string;
  /** What references stand for: `docker-image://...` or `oci-layout://...`. */
  readonly buildContexts: Readonly<Record<string, string>>;
  readonly plainHttp: boolean;
  readonly env: NodeJS.ProcessEnv;
  readonly print: (text: string) => void;
  /** Shared by the images of a run. Default: one of its own. */
  readonly store?: BaseStore;
  readonly signal: AbortSignal;
}

/** Base images that a run has loaded: each is fetched and checked once, however many images start from it. */
export class BaseStore {
  readonly cache: BlobCache;
  private readonly images = new Map<string, Promise<Image>>();

  constructor(env: NodeJS.ProcessEnv) {
    this.cache = openCache(env);
  }

  /** The one for the cache folder that `env` names. @throws OPTION_INVALID */
  static of(env: NodeJS.ProcessEnv, stores: Map<string, BaseStore>): BaseStore {
    const folder = cacheFolder(env);
    const store = stores.get(folder) ?? new BaseStore(env);
    stores.set(folder, store);
    return store;
  }

  /** What was loaded under this key; a failure is not kept. */
  once(key: string, load: () => Promise<Image>): Promise<Image> {
    const image = this.images.get(key) ?? load();
    this.images.set(key, image);
    image.catch(() => this.images.delete(key));
    return image;
  }
}

/** Where a reference of a Dockerfile leads. */
type Origin =
  | { readonly kind: 'registry'; readonly reference: Reference; readonly pinName: string | undefined }
  | { readonly kind: 'layout'; readonly source: ImageSource };

/** The base images that Dockerfiles name, and what image.lock.json pins them to. */
export class Bases {
  private readonly pins: Record<string, Pin>;
  private readonly store: BaseStore;
  private readonly sources = new Map<string, ImageSource>();
  private hasFetched = false;

  constructor(private readonly options: BaseOptions) {
    this.pins = { ...readPins(options.lock) };
    this.store = options.store ?? new BaseStore(options.env);
  }

  /**
   * Loads what the plans need, and pins what was not pinned yet.
   * @param scratch an existing folder, which stays until the image has been written
   * @throws REGISTRY_FAILED, ARCHIVE_INVALID, PLATFORM_INVALID, REFERENCE_INVALID, OPTION_INVALID, WRITE_FAILED, ABORTED
   */
  async load(plans: readonly DockerfilePlan[], scratch: string): Promise<BaseImages> {
    const images = new Map<string, Image>();
    const before = JSON.stringify(this.pins);
    for (const plan of plans) {
      for (const base of plan.bases) {
        const key = baseKey(base);
        if (!images.has(key))
          images.set(key, await this.loadOne(base, plan.file, join(scratch, `base-${images.size}`)));
      }
    }
    if (this.hasFetched) this.store.cache.trim();
    if (JSON.stringify(this.pins) !== before) await writePins(this.options.lock, this.pins, this.options.signal);
    return images;
  }

  /**
   * Pins what the plans need to what the tags stand for now, and nothing else.
   * @returns what each was pinned to, before and now
   */
  async update(plans: readonly DockerfilePlan[]): Promise<readonly { name: string; before?: string; now: string }[]> {
    const pins: Record<string, Pin> = {};
    const changes: { name: string; before?: string; now: string }[] = [];
    for (const plan of plans) {
      for (const base of plan.bases) {
        const origin = this.originOf(base, plan.file);
        if (origin.kind !== 'registry' || origin.pinName === undefined || Object.hasOwn(pins, origin.pinName)) continue;
        const name = origin.pinName;
        const pin = await this.findPin(base, origin);
        pins[name] = pin;
        const old = this.pins[name];
        changes.push({ name, ...(old ? { before: pinned(old) } : {}), now: pinned(pin) });
      }
    }
    await writePins(this.options.lock, pins, this.options.signal);
    return changes;
  }

  private async loadOne(base: BaseReference, file: string, folder: string): Promise<Image> {
    const origin = this.originOf(base, file);
    if (origin.kind === 'layout') return this.pull(base, origin.source, await origin.source.resolve());
    const { reference, pinName } = origin;
    let pin: Pin | undefined = reference.digest === undefined ? undefined : { digest: reference.digest };
    if (pinName !== undefined) {
      pin = this.pins[pinName];
      if (!pin) {
        pin = await this.findPin(base, origin);
        this.pins[pinName] = pin;
        this.options.print(
          `${basename(this.options.lock)}: ${pinName} is pinned to ${pinned(pin)}; commit this file\n`,
        );
      }
    }
    if ('imageId' in pin!) return this.fromEngine(reference, base, pin, folder);
    try {
      return await this.pull(base, this.sourceOf(reference), pin!.digest);
    } catch (error) {
      if (!isRegistryFailure(error)) throw error;
      return await this.fromEngine(reference, base, pin!, folder).catch((engineError) => {
        throw isMissing(engineError) ? error : engineError;
      });
    }
  }

  private originOf({ reference: text, line }: BaseReference, file: string): Origin {
    const context = this.options.buildContexts[text];
    const layout = context === undefined ? undefined : parseLayoutContext(context);
    if (layout) {
      const folder = join(this.options.workspace, layout.folder);
      return { kind: 'layout', source: new LayoutSource(context!, folder, layout.tag) };
    }
    if (context !== undefined && !context.startsWith('docker-image://')) {
      throw new SlimGoError('OPTION_INVALID', `The build context "${text}" is "${context}", which is not known here.`, {
        hint: 'Write docker-image://<reference>, or oci-layout://<folder>[:<tag>] with a folder of the workspace.',
      });
    }
    try {
      const reference = parseReference(context?.slice('docker-image://'.length) ?? text);
      // What is named by digest can't move.
      const pinName = reference.digest === undefined ? familiarReference(reference) : undefined;
      return { kind: 'registry', reference, pinName };
    } catch (error) {
      if (!(error instanceof SlimGoError)) throw error;
      throw new SlimGoError('REFERENCE_INVALID', `${file}:${line}: ${error.message}`, {
        ...(error.hint === undefined ? {} : { hint: error.hint }),
        cause: error,
      });
    }
  }

  /** What the registry says that the tag stands for; where it can't be asked, what the container engine has under that name. */
  private async findPin(base: BaseReference, { reference }: Extract<Origin, { kind: 'registry' }>): Promise<Pin> {
    try {
      return { digest: await this.sourceOf(reference).resolve() };
    } catch (error) {
      if (!isRegistryFailure(error)) throw error;
      const imageId = await engineBase()
        .findImageId(reference, base.platform, this.options.env)
        .catch(() => undefined);
      if (imageId !== undefined) return { imageId };
      throw error;
    }
  }

  private pull({ reference, platform }: BaseReference, source: ImageSource, digest: string): Promise<Image> {
    const { print, signal } = this.options;
    const { cache } = this.store;
    return this.store.once(`${digest} ${formatPlatform(platform)}`, async () => {
      let fetchedBytes = 0;
      const onLayer = (sizeBytes: number) => {
        fetchedBytes += sizeBytes;
      };
      const image = await pullImage({ source, digest, platform, cache, onLayer, signal });
      if (fetchedBytes > 0) {
        this.hasFetched = true;
        print(`${reference}  ${formatPlatform(platform)}: pulled ${formatSize(fetchedBytes)}\n`);
      }
      return image;
    });
  }

  private async fromEngine(
    reference: Reference,
    { platform }: BaseReference,
    pin: Pin,
    folder: string,
  ): Promise<Image> {
    mkdirSync(folder);
    const { env, signal } = this.options;
    return engineBase().readImage({ reference, platform, pin, folder, env, signal });
  }

  private sourceOf(reference: Reference): ImageSource {
    const name = familiarReference(reference);
    const { plainHttp, env, signal } = this.options;
    const source =
      this.sources.get(name) ??
      new RegistrySource(registryClient(reference.domain, 'pull', plainHttp, env, signal), reference);
    this.sources.set(name, source);
    return source;
  }
}

function engineBase(): typeof EngineBase {
  // Loaded here: what talks to an engine is large, and seldom needed.
  return require('./engine-base') as typeof EngineBase;
}

function isRegistryFailure(error: unknown): boolean {
  return error instanceof SlimGoError && error.code === 'REGISTRY_FAILED';
}

/** The engine is not there, or has no such image: what the registry said is then the better message. */
function isMissing(error: unknown): boolean {
  return error instanceof SlimGoError && error.code.startsWith('ENGINE_');
}

const defaultLimitBytes = 5_000_000_000;

/** @throws OPTION_INVALID */
function openCache(env: NodeJS.ProcessEnv): BlobCache {
  const limit = env.SLIM_GO_CACHE_LIMIT;
  const [, amount, unit] = /^(\d+(?:\.\d+)?)\s*([kmgt]?)b?$/i.exec(limit ?? '') ?? [];
  if (limit && amount === undefined) {
    throw new SlimGoError('OPTION_INVALID', `SLIM_GO_CACHE_LIMIT is "${limit}".`, { hint: 'Write a size like 5GB.' });
  }
  const scale = 1000 ** ' kmgt'.indexOf((unit || ' ').toLowerCase());
  return new BlobCache(cacheFolder(env), amount === undefined ? defaultLimitBytes : Number(amount) * scale);
}

/** https://specifications.freedesktop.org/basedir-spec/latest/ and its counterparts. */
function cacheFolder(env: NodeJS.ProcessEnv): string {
  if (env.SLIM_GO_CACHE_DIR) return resolve(env.SLIM_GO_CACHE_DIR);
  if (process.platform === 'win32' && env.LOCALAPPDATA) return join(env.LOCALAPPDATA, 'slim-go');
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'slim-go');
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'slim-go');
}

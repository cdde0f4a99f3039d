import { randomBytes } from 'node:crypto';
import type { Readable } from 'node:stream';
import type { ImageBuildOptions } from 'dockerode';
import { SlimGoError } from '../errors';
import { formatPlatform, type Platform } from '../platform';
import { BuildLog, type SourceInstruction } from './build-log';
import { aborted, type Engine, engineMessage, statusOf } from './engine';
import { progressEvents } from './progress';

/** A build by the container engine. */
export interface EngineBuild {
  /**
   * Starts the context: a tar (plain or gzip) that holds the Dockerfile too. A function, because a build that BuildKit
   * can't begin is begun again with the classic builder. The stream is destroyed when the build ends.
   */
  readonly context: () => Readable;
  /** The Dockerfile's path inside the context, `/`-separated. */
  readonly dockerfile: string;
  /** Lets errors name the line: how people know the file (`apps/hello/Dockerfile`), and its instructions in order. */
  readonly source?: { readonly file: string; readonly instructions: readonly SourceInstruction[] };
  readonly platform: Platform;
  readonly buildArgs: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  /** The stage to build; the last one where undefined. */
  readonly target: string | undefined;
  /**
   * The Dockerfile uses what the classic builder doesn't know: `--mount`, `--chmod`, `--link`, heredocs, `FROM` with
   * `--platform=$BUILDPLATFORM` and no ARG of that name. Another platform than the engine's takes BuildKit anyway.
   */
  readonly needsBuildKit: boolean;
  /** Gets the steps and the output of RUN line by line while they run, without the newline. */
  readonly onStep: (line: string) => void;
  readonly signal?: AbortSignal;
  /** How long BuildKit may take to begin after the context was sent. Default 60,000. */
  readonly buildKitTimeoutMs?: number;
}

/** An image in the engine under a tag that nobody else has: it stays until removeImage is called with that tag. */
export interface BuiltImage {
  /** `sha256:...`, as this engine names it. */
  readonly imageId: string;
  /** Hand this to removeImage. Two equal builds at once have the same image and different tags, so neither loses it. */
  readonly temporaryReference: string;
}

/**
 * Builds an image in the engine: with the classic builder, or with BuildKit where the Dockerfile or the platform needs it.
 * Registry credentials of this machine are not passed on: a private base image has to be pulled beforehand.
 * An interrupted or failed build leaves no image and no container; classic's cached steps stay, as with `docker build`.
 * @throws ENGINE_BUILD_FAILED, ABORTED, and whatever error `context` ends with
 */
export async function buildInEngine(engine: Engine, build: EngineBuild): Promise<BuiltImage> {
  const native = await engine.platform().catch((error: unknown) => {
    throw brokenOff(engine, build, error);
  });
  // An arm engine tells no variant and counts as v7: v6 goes to BuildKit, which obeys the platform it is given.
  const foreign = formatPlatform(native) !== formatPlatform(build.platform);
  const reference = `slim-go-build:${randomBytes(12).toString('hex')}`;
  try {
    if (foreign || build.needsBuildKit) {
      try {
        await runBuild(engine, build, native, reference, 'buildkit');
      } catch (error) {
        if (!(error instanceof BuildKitCannotBegin)) throw error;
        if (build.needsBuildKit) throw error.toSlimGoError(engine, build);
        await runBuild(engine, build, native, reference, 'classic');
      }
    } else {
      await runBuild(engine, build, native, reference, 'classic');
    }
    const image = await engine.docker.getImage(reference).inspect();
    if (image.Os !== build.platform.os || image.Architecture !== build.platform.architecture) {
      throw new SlimGoError(
        'ENGINE_BUILD_FAILED',
        `${fileOf(build)}: the engine built ${image.Os}/${image.Architecture} where ${formatPlatform(build.platform)} was asked for.`,
        {
          hint: 'A base image may exist for one platform only, or the engine may be unable to build for others: try an engine with BuildKit, or `docker pull --platform` the base image.',
        },
      );
    }
    return { imageId: image.Id, temporaryReference: reference };
  } catch (error) {
    await removeImage(engine, reference).catch(() => undefined);
    if (build.signal?.aborted) throw aborted(`Building ${fileOf(build)}`);
    if (error instanceof SlimGoError || error instanceof ContextFailed) throw unwrap(error);
    throw brokenOff(engine, build, error);
  }
}

/** `docker save` of one image, as a stream of its tar. Name it by its ID, so that the archive holds no temporary tag. */
export async function saveImage(engine: Engine, imageId: string, signal?: AbortSignal): Promise<Readable> {
  try {
    const answer = (await engine.docker.getImage(imageId).get()) as Readable;
    if (signal?.aborted) answer.destroy();
    signal?.addEventListener('abort', () => answer.destroy(aborted('Reading the built image')), { once: true });
    return answer;
  } catch (error) {
    throw new SlimGoError(
      'ENGINE_BUILD_FAILED',
      `The engine at ${engine.host} does not hand out the image it has built: ${engineMessage(error)}`,
      { hint: 'See whether the engine is running and has disk space left, then run this again.', cause: error },
    );
  }
}

/**
 * Takes the tag away, and the image with its last tag. Cached build steps below it stay (`noprune`), for the next build.
 * It is no error when it is gone already.
 */
export async function removeImage(engine: Engine, reference: string): Promise<void> {
  try {
    await engine.docker.getImage(reference).remove({ noprune: true, force: false });
  } catch (error) {
    if (statusOf(error) !== 404) throw error;
  }
}

async function runBuild(
  engine: Engine,
  build: EngineBuild,
  native: Platform,
  reference: string,
  builder: 'classic' | 'buildkit',
): Promise<void> {
  const log = new BuildLog(build.onStep, build.source);
  const giveUp = new AbortController();
  const signal = build.signal ? AbortSignal.any([build.signal, giveUp.signal]) : giveUp.signal;
  const context = build.context();
  let contextError: Error | undefined;
  let timer: NodeJS.Timeout | undefined;
  context.once('error', (error) => {
    contextError = error;
  });
  if (builder === 'buildkit') {
    context.once('end', () => {
      timer = setTimeout(() => giveUp.abort(), build.buildKitTimeoutMs ?? 60_000);
    });
  }
  try {
    const options = {
      ...(builder === 'buildkit' ? buildKitOptions(build) : classicOptions(build, native)),
      dockerfile: build.dockerfile,
      t: reference,
      labels: { ...build.labels },
      ...(build.target === undefined ? {} : { target: build.target }),
      rm: true,
      forcerm: true,
      abortSignal: signal,
    } as ImageBuildOptions;
    const answer = await engine.docker.buildImage(context, options);
    for await (const event of progressEvents(answer)) {
      log.add(event);
      if (log.begun) clearTimeout(timer);
    }
    log.end();
  } catch (error) {
    log.end();
    if (build.signal?.aborted) throw error;
    if (contextError !== undefined) throw new ContextFailed(contextError);
    if (giveUp.signal.aborted) throw new BuildKitCannotBegin('it did not begin in time');
    // Refused before the first step (a syntax error in the Dockerfile), or broken off.
    if (statusOf(error) === undefined) throw error;
    log.fail(engineMessage(error));
  } finally {
    clearTimeout(timer);
    context.destroy();
  }
  if (log.failure === undefined) return;
  if (builder === 'buildkit' && !log.begun && contextUnreadable.test(log.failure)) {
    throw new BuildKitCannotBegin(log.failure);
  }
  throw failed(build, log);
}

/** Docker up to 27 with the containerd store (moby/moby#47717), and engines that misread a stream (docker-modem#196). */
const contextUnreadable = /failed to read downloaded context|invalid response status 403|invalid tar header/;

function buildKitOptions(build: EngineBuild): object {
  return {
    // A number: dockerode opens a gRPC session for the string, which nothing here needs and podman doesn't have.
    version: 2,
    platform: formatPlatform(build.platform),
    buildargs: { ...build.buildArgs },
  };
}

function classicOptions(build: EngineBuild, native: Platform): object {
  const foreign = formatPlatform(native) !== formatPlatform(build.platform);
  return {
    // The classic builder takes cached steps of any platform for a hit.
    ...(foreign ? { platform: formatPlatform(build.platform), nocache: true } : {}),
    buildargs: {
      ...platformArgs('TARGET', build.platform),
      ...platformArgs('BUILD', native),
      ...build.buildArgs,
    },
  };
}

/** What BuildKit provides by itself: https://docs.docker.com/reference/dockerfile/#automatic-platform-args-in-the-global-scope */
function platformArgs(prefix: 'TARGET' | 'BUILD', platform: Platform): Record<string, string> {
  return {
    [`${prefix}PLATFORM`]: formatPlatform(platform),
    [`${prefix}OS`]: platform.os,
    [`${prefix}ARCH`]: platform.architecture,
    [`${prefix}VARIANT`]: platform.variant ?? '',
  };
}

function fileOf(build: EngineBuild): string {
  return build.source?.file ?? build.dockerfile;
}

function failed(build: EngineBuild, log: BuildLog): SlimGoError {
  const where = log.failedLine === undefined ? fileOf(build) : `${fileOf(build)}:${log.failedLine}`;
  const step = log.failedStep === undefined ? '' : ` ${log.failedStep} failed:`;
  const output = log.failedOutput.length === 0 ? '' : `\n${log.failedOutput.join('\n')}`;
  return new SlimGoError('ENGINE_BUILD_FAILED', `${where}:${step} ${log.failure}${output}`, {
    hint: adviceFor(log.failure ?? ''),
  });
}

function adviceFor(failure: string): string {
  if (/pull access denied|unauthorized|authentication required|denied: /.test(failure)) {
    return 'slim-go passes no registry credentials to the engine: `docker pull` the base image first, or check its name.';
  }
  if (
    /no such host|i\/o timeout|connection refused|network is unreachable|failed to do request|Client\.Timeout/.test(
      failure,
    )
  ) {
    return 'The engine needs to reach the registry of the base image: check its network and proxy, or `docker pull` it first.';
  }
  if (
    /manifest unknown|not found: manifest|no match(ing)? (for platform|manifest)|no matching manifest/.test(failure)
  ) {
    return 'Check the name, tag and platforms of the base image.';
  }
  if (/no space left on device/.test(failure))
    return 'The engine has no disk space left: `docker system df` tells what takes it.';
  if (/COPY failed|ADD failed|not found|failed to (calculate|compute)/.test(failure)) {
    return 'Look for the path in the build context, and for a line of .dockerignore that hides it.';
  }
  if (/exec format error/.test(failure)) {
    return 'The step runs a program of another architecture: build on such a machine, or install emulation (qemu binfmt) in the engine.';
  }
  return 'The lines above are the output of the step. Mend the Dockerfile or what it runs, then run this again.';
}

function brokenOff(engine: Engine, build: EngineBuild, cause: unknown): SlimGoError {
  return new SlimGoError(
    'ENGINE_BUILD_FAILED',
    `The engine at ${engine.host} broke off while building ${fileOf(build)} (${engineMessage(cause)}).`,
    { hint: 'See whether the engine is running and has disk space left, then run this again.', cause },
  );
}

/** The caller's context stream failed: its error goes on as it is. */
class ContextFailed extends Error {
  constructor(readonly reason: Error) {
    super(reason.message);
  }
}

function unwrap(error: Error): Error {
  return error instanceof ContextFailed ? error.reason : error;
}

class BuildKitCannotBegin extends Error {
  toSlimGoError(engine: Engine, build: EngineBuild): SlimGoError {
    return new SlimGoError(
      'ENGINE_BUILD_FAILED',
      `${fileOf(build)} needs BuildKit, and the BuildKit of the engine at ${engine.host} can't read a build context that is sent to it (${this.message}).`,
      {
        hint: 'Docker before 28 with the containerd image store has this fault (moby/moby#47717): update the engine, or leave out what needs BuildKit (--mount, --chmod, --link, heredocs).',
      },
    );
  }
}

import { homedir } from 'node:os';
import { buildInEngine, removeImage, saveImage } from '../../docker/build';
import { connectEngine, type Engine } from '../../docker/engine';
import { SlimGoError } from '../../errors';
import { packContext } from '../../image/context';
import { parseDockerfile } from '../../image/dockerfile/parser';
import type { DockerfilePlan } from '../../image/dockerfile/plan';
import type { Image } from '../../image/image';
import { normaliseSavedImage } from '../../image/normalise';
import type { Task } from '../task';
import type { ResolvedImage } from './executor';

/** What the classic builder of Docker doesn't know. */
const buildKitFlags = /^--(chmod|link|mount|network|security|parents|exclude|checksum|keep-git-dir|unpack)\b/;

/** Of the classic builder and of BuildKit. */
const stepBegins = /^(?:Step \d+\/\d+ : |#\d+ \[)/;

/**
 * Has a container engine execute the Dockerfile, and reads the result back without leaving it there.
 * @param folder an existing empty one; the image's layers are in it until the image has been written
 * @throws DOCKERFILE_NEEDS_ENGINE where none answers, ENGINE_BUILD_FAILED, ABORTED
 */
export async function buildInDocker(
  resolved: ResolvedImage,
  { platform, unsupported }: DockerfilePlan,
  {
    folder,
    env,
    print,
    progress,
    signal,
  }: Pick<Task<unknown>, 'env' | 'print' | 'progress'> & { readonly folder: string; readonly signal: AbortSignal },
): Promise<Image> {
  const { text, dockerfileName: file, context, dockerfile } = resolved;
  const engine = await connect(file, unsupported[0], env);
  const { instructions } = parseDockerfile(text, file);
  const packed = packContext(context, dockerfile);
  const built = await buildInEngine(engine, {
    context: packed.stream,
    dockerfile: packed.dockerfile,
    source: { file, instructions: instructions.map(({ line, original }) => ({ line, text: original })) },
    platform,
    buildArgs: resolved.buildArgs,
    labels: resolved.labels,
    target: resolved.target,
    needsBuildKit: instructions.some(
      ({ flags, heredocs }) => heredocs.length > 0 || flags.some((flag) => buildKitFlags.test(flag)),
    ),
    onStep: (line) => {
      if (resolved.quiet) return;
      print(`${line}\n`);
      if (stepBegins.test(line)) progress?.(line);
    },
    signal,
  });
  try {
    const saved = await saveImage(engine, built.imageId, signal);
    return await normaliseSavedImage({ saved, platform, folder, signal });
  } finally {
    await removeImage(engine, built.temporaryReference);
  }
}

async function connect(
  file: string,
  unsupported: DockerfilePlan['unsupported'][number] | undefined,
  env: NodeJS.ProcessEnv,
): Promise<Engine> {
  try {
    return await connectEngine({ env, home: homedir(), platform: process.platform });
  } catch (error) {
    if (!(error instanceof SlimGoError) || error.code !== 'ENGINE_NOT_FOUND' || !unsupported) throw error;
    throw new SlimGoError(
      'DOCKERFILE_NEEDS_ENGINE',
      `${file}:${unsupported.line}: ${unsupported.reason} ${error.message}`,
      {
        hint: `${error.hint} Or move this step before the build, so that the embedded engine can execute the rest.`,
        cause: error,
      },
    );
  }
}

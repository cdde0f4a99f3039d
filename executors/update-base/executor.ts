import type * as Devkit from '@nx/devkit';
import type { ExecutorContext } from '@nx/devkit';
import { SlimGoError } from '../../errors';
import { Bases } from '../image/bases';
import { type ImageTargetOptions, planPlatforms, resolveImage } from '../image/executor';
import { runExecutor } from '../report';
import type { UpdateBaseOptions } from './schema';

/**
 * Moves the pins of image.lock.json. A target of its own, for an option of `image` would come out of the cache the second
 * time, without having asked a registry.
 */
export default function updateBase(
  { imageTarget }: Required<UpdateBaseOptions>,
  context: ExecutorContext,
): Promise<{ success: boolean }> {
  return runExecutor(async (signal) => {
    const project = context.projectName!;
    if (!context.projectsConfigurations.projects[project]?.targets?.[imageTarget]) {
      throw new SlimGoError('OPTION_INVALID', `${project} has no target "${imageTarget}".`, {
        hint: 'Name the target that builds the image in the option "imageTarget".',
      });
    }
    const { readTargetOptions } = require('@nx/devkit') as typeof Devkit;
    const options: ImageTargetOptions = readTargetOptions({ project, target: imageTarget }, context);
    const { env } = process;
    const resolved = resolveImage({ options, context, env });
    const print = (text: string) => process.stdout.write(text);
    const changes = await new Bases({ ...resolved, env, print, signal }).update(planPlatforms(resolved));
    if (changes.length === 0) console.log(`${resolved.dockerfileName}: no base image that could be pinned`);
    for (const { name, before, now } of changes) {
      console.log(before === now ? `${name}  ${now} (as before)` : `${name}  ${before ?? 'not pinned'} -> ${now}`);
    }
    return { success: true };
  });
}

import { join, posix, relative, sep } from 'node:path';
import type { ExecutorContext } from '@nx/devkit';

/** The project that a target runs for. */
export interface CurrentProject {
  readonly name: string;
  /** Relative to the workspace root, as Nx writes it: `apps/hello`, `.`. */
  readonly root: string;
  /** Absolute. */
  readonly folder: string;
}

export function currentProject(context: ExecutorContext): CurrentProject {
  const name = context.projectName ?? '';
  const root = context.projectsConfigurations.projects[name]?.root ?? '.';
  return { name, root, folder: join(context.root, root) };
}

/**
 * Where `image` writes, and `docker-build`, `docker-run` and `docker-push` read; `pushed` is what the last push said, `lock`
 * what base images are pinned to.
 */
export function imageFiles(project: CurrentProject) {
  const folder = join(project.folder, 'dist', 'image');
  return {
    archive: join(folder, 'image.tar'),
    record: join(folder, 'image.json'),
    pushed: join(folder, 'push.json'),
    lock: join(project.folder, 'image.lock.json'),
  } as const;
}

/** A package pattern from the project's folder as one from the module's: `./...` is `./apps/hello/...`. */
export function patternInModule(moduleDir: string, project: CurrentProject, pattern: string): string {
  const below = relative(moduleDir, project.folder).split(sep).join('/');
  return `./${posix.join(below, pattern)}`.replace(/^\.\/\.?$/, '.');
}

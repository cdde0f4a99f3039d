import { buildTarget } from './build-target';
import { commandTargets } from './go-targets';
import { imageTargets } from './image-targets';
import type { GoProject } from './projects';
import { sourceTargets } from './source-targets';
import type { TargetSources, Targets } from './sources';

/** The targets of a project: see "Targets that a Go project gets" in ARCHITECTURE.md. */
export function targetsOf(project: GoProject, sources: TargetSources): Targets {
  const build = buildTarget(project, sources);
  return {
    ...build?.targets,
    ...commandTargets(project, sources),
    ...sourceTargets(project, sources),
    ...(build ? imageTargets(project, build, sources) : {}),
  };
}

import { buildTarget } from './build-target';
import { commandTargets, serveTarget } from './go-targets';
import { imageTargets } from './image-targets';
import { withOneGroup } from './inputs';
import type { GoProject } from './projects';
import { sourceTargets } from './source-targets';
import type { TargetSources, Targets } from './sources';

/** The targets of a project: see "Targets that a Go project gets" in ARCHITECTURE.md. */
export function targetsOf(project: GoProject, sources: TargetSources): Targets {
  const build = buildTarget(project, sources);
  const targets: Targets = {
    ...build?.targets,
    ...commandTargets(project, sources),
    ...sourceTargets(project, sources),
    ...(build ? { ...serveTarget(project, build, sources), ...imageTargets(project, build, sources) } : {}),
  };
  if (sources.nxMajor >= 23) return targets;
  return Object.fromEntries(
    Object.entries(targets).map(([name, target]) => [
      name,
      target.inputs ? { ...target, inputs: target.inputs.flatMap(withOneGroup) } : target,
    ]),
  );
}

import { hostContainerPlatform } from '../../platform';
import { type PlannedStage, planDockerfile, type Unsupported } from './plan';

/** What the graph needs to know about a Dockerfile. */
export interface DockerfileDescription {
  /** `8080/tcp`, of the final stage. */
  readonly exposes: readonly string[];
  /** Whether the final stage starts, directly or through other stages, from nothing. */
  readonly fromScratch: boolean;
  /** References of the images that are started from or copied from. TARGETARCH and the like are `*`. */
  readonly images: readonly string[];
  /** True where the embedded engine can't build it. */
  readonly needsEngine: boolean;
  /** The first thing that needs a container engine. */
  readonly reason: Unsupported | undefined;
  /**
   * What COPY and ADD read from the build context, relative to its root, `/`-separated, for the stages that the image is
   * made of. May hold Docker's wildcards. TARGETOS and the like are `*`; TARGETPLATFORM and BUILDPLATFORM, which hold
   * slashes, are `**`. The whole context is `.`.
   */
  readonly contextSources: readonly string[];
}

/**
 * Reads a Dockerfile for the graph: quickly, synchronously, without touching a file.
 * @param file what errors call it
 * @throws DOCKERFILE_INVALID
 */
export function describeDockerfile(
  text: string,
  file: string,
  options: { readonly buildArgs?: Readonly<Record<string, string>>; readonly target?: string } = {},
): DockerfileDescription {
  const any: Record<string, string> = {};
  for (const side of ['TARGET', 'BUILD']) {
    any[`${side}PLATFORM`] = '**';
    for (const part of ['OS', 'ARCH', 'VARIANT']) any[side + part] = '*';
  }
  const plan = planDockerfile({ text, file, platform: hostContainerPlatform(), platformArgs: any, ...options });
  const sources = new Set<string>();
  for (const stage of plan.stages) {
    for (const { files } of stage.steps) {
      if (files?.kind !== 'copy' || files.from !== undefined) continue;
      for (const source of files.sources) sources.add(contextPath(source));
    }
  }
  return {
    fromScratch: isFromScratch(plan.stages),
    images: [...new Set(plan.bases.map(({ reference }) => reference))],
    exposes: Object.keys(plan.config.ExposedPorts ?? {}),
    needsEngine: plan.unsupported.length > 0,
    reason: plan.unsupported[0],
    contextSources: [...sources].sort(),
  };
}

function isFromScratch(stages: readonly PlannedStage[]): boolean {
  let base = stages.at(-1)?.base;
  while (base?.kind === 'stage') {
    const { index } = base;
    base = stages.find((stage) => stage.index === index)?.base;
  }
  return base?.kind === 'scratch';
}

function contextPath(source: string): string {
  const parts: string[] = [];
  for (const part of source.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return parts.join('/') || '.';
}

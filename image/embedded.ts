import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { SlimGoError } from '../errors';
import type { Platform } from '../platform';
import { openContext } from './context';
import { type CopyOwner, copyInto } from './copy';
import { type DockerfilePlan, type MakeDirectoryStep, type PlannedStage, planDockerfile } from './dockerfile/plan';
import type { HistoryEntry, Image, Layer } from './image';
import { findOwner } from './owner';
import { contextSource, treeSource } from './source';
import { FileTree, PathError } from './tree';

export interface EmbeddedBuild {
  /** Path of the Dockerfile on disk. */
  readonly dockerfile: string;
  /** What errors call it; default: the path. */
  readonly dockerfileName?: string;
  /** Root folder of the build context. */
  readonly context: string;
  readonly platform: Platform;
  readonly buildArgs?: Readonly<Record<string, string>>;
  /** Stage to build; default the last. */
  readonly target?: string;
  /** Added to the image's labels. */
  readonly labels?: Readonly<Record<string, string>>;
}

interface StageResult {
  readonly tree: FileTree;
  readonly layers: readonly Layer[];
  readonly history: readonly HistoryEntry[];
}

/**
 * Builds an image from a Dockerfile without a container engine, with BuildKit's meaning of every instruction.
 * Files of the context are referred to, not read: only the archive's writer reads them.
 * @throws DOCKERFILE_MISSING, DOCKERFILE_INVALID, DOCKERFILE_NEEDS_ENGINE (something that it can't do exactly as Docker
 * does), CONTEXT_INVALID, COPY_FAILED
 */
export async function buildEmbedded(build: EmbeddedBuild): Promise<Image> {
  const file = build.dockerfileName ?? build.dockerfile;
  const plan = planDockerfile({ ...build, text: readDockerfile(build.dockerfile, file), file });
  const [problem] = plan.unsupported;
  if (problem) {
    const others = plan.unsupported.length - 1;
    throw new SlimGoError('DOCKERFILE_NEEDS_ENGINE', `${file}:${problem.line}: ${problem.reason}`, {
      hint: `Build it with a container engine (engine: "docker" or "auto"), or move this step before the build.${
        others > 0 ? ` ${others} more ${others > 1 ? 'lines need' : 'line needs'} one too.` : ''
      }`,
    });
  }
  return execute(plan, build);
}

/** Text of the Dockerfile. @throws DOCKERFILE_MISSING */
function readDockerfile(path: string, file: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const what = code === 'ENOENT' || code === 'ENOTDIR' ? 'is missing' : `can't be read (${code})`;
    throw new SlimGoError('DOCKERFILE_MISSING', `The Dockerfile ${file} ${what}.`, {
      hint: `Create it, or set "dockerfile" to where ${basename(path)} is.`,
      cause,
    });
  }
}

async function execute(plan: DockerfilePlan, build: EmbeddedBuild): Promise<Image> {
  const context = contextSource(openContext(build.context, build.dockerfile));
  const results = new Map<number, StageResult>();
  for (const stage of plan.stages) {
    const base = stage.base.kind === 'stage' ? results.get(stage.base.index)! : undefined;
    results.set(stage.index, await executeStage(stage, base, plan.file, results, context));
  }
  const { layers, history } = results.get(plan.stages.at(-1)!.index)!;
  return {
    platform: plan.platform,
    ...(plan.author === undefined ? {} : { author: plan.author }),
    config: plan.config,
    history,
    layers,
  };
}

async function executeStage(
  stage: PlannedStage,
  base: StageResult | undefined,
  file: string,
  results: ReadonlyMap<number, StageResult>,
  context: ReturnType<typeof contextSource>,
): Promise<StageResult> {
  const tree = base?.tree.clone() ?? new FileTree();
  const layers: Layer[] = [...(base?.layers ?? [])];
  const history: HistoryEntry[] = [...(base?.history ?? [])];
  for (const step of stage.steps) {
    const where = `${file}:${step.line}`;
    try {
      if (step.files?.kind === 'makeDirectory') makeDirectory(tree, step.files);
      else if (step.files) {
        const { fromStage } = step.files;
        const source = fromStage === undefined ? context : treeSource(results.get(fromStage)!.tree);
        await copyInto(tree, step.files, source, where);
      }
    } catch (error) {
      if (!(error instanceof PathError)) throw error;
      throw new SlimGoError('COPY_FAILED', `${where}: ${error.message}.`, { cause: error });
    }
    const entries = tree.takeLayer();
    if (entries.length > 0) layers.push({ entries });
    history.push({ created_by: step.createdBy, ...(entries.length > 0 ? {} : { empty_layer: true as const }) });
  }
  return { tree, layers, history };
}

/** WORKDIR's folder belongs to USER; a name that the image does not know counts as root, as in BuildKit. */
function makeDirectory(tree: FileTree, step: MakeDirectoryStep): void {
  const owner: CopyOwner = (step.owner === undefined ? undefined : findOwner(tree, step.owner).owner) ?? {
    uid: 0,
    gid: 0,
  };
  tree.makeDirectories(tree.resolve(step.path), { mode: 0o755, ...owner });
}

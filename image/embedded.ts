import { SlimGoError } from '../errors';
import type { BuildContext } from './context';
import { type CopyOwner, copyInto } from './copy';
import type { DockerfilePlan, MakeDirectoryStep, PlannedStage } from './dockerfile/plan';
import type { HistoryEntry, Image, Layer } from './image';
import { findOwner } from './owner';
import { contextSource, treeSource } from './source';
import { FileTree, PathError } from './tree';

interface StageResult {
  readonly tree: FileTree;
  readonly layers: readonly Layer[];
  readonly history: readonly HistoryEntry[];
}

/**
 * Builds what a Dockerfile plans without a container engine, with BuildKit's meaning of every instruction.
 * Files of the context are referred to, not read: only the archive's writer reads them.
 * @throws DOCKERFILE_NEEDS_ENGINE (something that it can't do exactly as Docker does), COPY_FAILED
 */
export async function buildEmbedded(plan: DockerfilePlan, buildContext: BuildContext): Promise<Image> {
  const [problem] = plan.unsupported;
  if (problem) {
    const others = plan.unsupported.length - 1;
    throw new SlimGoError('DOCKERFILE_NEEDS_ENGINE', `${plan.file}:${problem.line}: ${problem.reason}`, {
      hint: `Build it with a container engine (engine: "docker" or "auto"), or move this step before the build.${
        others > 0 ? ` ${others} more ${others > 1 ? 'lines need' : 'line needs'} one too.` : ''
      }`,
    });
  }
  const context = contextSource(buildContext);
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

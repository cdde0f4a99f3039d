import { SlimGoError } from '../errors';
import type { BuildContext } from './context';
import { type CopyOwner, copyInto } from './copy';
import {
  type BaseImages,
  baseKey,
  type CopyStep,
  type DockerfilePlan,
  type MakeDirectoryStep,
  type PlannedStage,
} from './dockerfile/plan';
import type { HistoryEntry, Image, Layer } from './image';
import { treeOfLayers } from './layer-tree';
import { findOwner } from './owner';
import { contextSource, type Source, treeSource } from './source';
import { FileTree, PathError } from './tree';

interface StageResult {
  readonly tree: FileTree;
  readonly layers: readonly Layer[];
  readonly history: readonly HistoryEntry[];
}

/** An image with all files of its layers. */
export interface EmbeddedImage extends Image {
  readonly tree: FileTree;
}

/**
 * Builds what a Dockerfile plans without a container engine, with BuildKit's meaning of every instruction.
 * Files of the context are referred to, not read: only the archive's writer reads them.
 * @throws DOCKERFILE_NEEDS_ENGINE (something that it can't do exactly as Docker does), COPY_FAILED
 */
export async function buildEmbedded(
  plan: DockerfilePlan,
  buildContext: BuildContext,
  baseImages: BaseImages = new Map(),
): Promise<EmbeddedImage> {
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
  const bases = new Map<string, StageResult>();
  for (const base of plan.bases) {
    const key = baseKey(base);
    const { layers, history } = baseImages.get(key)!;
    bases.set(key, { tree: treeOfLayers(layers), layers, history });
  }
  for (const stage of plan.stages) {
    const { base } = stage;
    const start =
      base.kind === 'stage'
        ? results.get(base.index)!
        : base.kind === 'image'
          ? bases.get(baseKey(base.image))!
          : empty;
    const sourceOf = ({ from }: CopyStep): Source =>
      from === undefined
        ? context
        : treeSource((typeof from === 'number' ? results.get(from) : bases.get(baseKey(from)))!.tree);
    results.set(stage.index, await executeStage(stage, start, plan.file, sourceOf));
  }
  const { tree, layers, history } = results.get(plan.stages.at(-1)!.index)!;
  return {
    platform: plan.platform,
    ...(plan.author === undefined ? {} : { author: plan.author }),
    config: plan.config,
    history,
    layers,
    tree,
  };
}

const empty: StageResult = { tree: new FileTree(), layers: [], history: [] };

async function executeStage(
  stage: PlannedStage,
  start: StageResult,
  file: string,
  sourceOf: (step: CopyStep) => Source,
): Promise<StageResult> {
  const tree = start.tree.clone();
  const layers: Layer[] = [...start.layers];
  const history: HistoryEntry[] = [...start.history];
  for (const step of stage.steps) {
    const where = `${file}:${step.line}`;
    try {
      if (step.files?.kind === 'makeDirectory') makeDirectory(tree, step.files);
      else if (step.files) await copyInto(tree, step.files, sourceOf(step.files), where);
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

import { posix } from 'node:path';
import type { NxJsonConfiguration, TargetConfiguration } from '@nx/devkit';
import type { GoTree } from '../go/packages';
import type { GoProject } from './projects';

/** Options of the plugin in nx.json: what its targets are called. */
export interface PluginOptions {
  readonly buildTargetName?: string;
  readonly testTargetName?: string;
  readonly benchTargetName?: string;
  readonly fuzzTargetName?: string;
  readonly lintTargetName?: string;
  readonly formatTargetName?: string;
  readonly tidyTargetName?: string;
  readonly generateTargetName?: string;
  readonly vulnTargetName?: string;
  readonly serveTargetName?: string;
  readonly imageTargetName?: string;
  readonly dockerBuildTargetName?: string;
  readonly dockerRunTargetName?: string;
  readonly dockerPushTargetName?: string;
  readonly updateBaseTargetName?: string;
  readonly verifyReproTargetName?: string;
}

/** What targets are made from, beside the project itself. */
export interface TargetSources {
  /** Absolute. */
  readonly workspaceRoot: string;
  readonly tree: GoTree;
  readonly options: PluginOptions;
  readonly nxJson: NxJsonConfiguration;
  /** A file's text, by its path from the workspace root; undefined where there is none. */
  readonly readText: (file: string) => string | undefined;
  readonly warn: (message: string) => void;
  /** Of the Nx that runs: they read inputs differently. */
  readonly nxMajor: number;
}

export type Targets = Record<string, TargetConfiguration>;
export type Options = Readonly<Record<string, unknown>>;

/** Options as Nx will merge them: nx.json's defaults, then the project's own file. */
export function statedOptions(project: GoProject, sources: TargetSources, target: string, executor: string): Options {
  return { ...targetDefault(sources, target, executor)?.options, ...project.stated?.targets?.[target]?.options };
}

/** Outputs as Nx will merge them; none where neither states any. */
export function statedOutputs(
  project: GoProject,
  sources: TargetSources,
  target: string,
  executor: string,
): readonly string[] {
  return strings(project.stated?.targets?.[target]?.outputs ?? targetDefault(sources, target, executor)?.outputs);
}

function targetDefault(
  { nxJson }: TargetSources,
  target: string,
  executor: string,
): { readonly options?: Options; readonly outputs?: unknown } | undefined {
  const defaults = (nxJson.targetDefaults ?? {}) as Readonly<Record<string, unknown>>;
  const found = defaults[executor] ?? defaults[target];
  return Array.isArray(found) ? undefined : (found as { options?: Options; outputs?: unknown } | undefined);
}

/** An option that is a path, from the workspace root, '' being that; undefined where it isn't set. */
export function workspacePath(project: GoProject, value: unknown): string | undefined {
  if (typeof value !== 'string' || value === '') return undefined;
  const path = value
    .replaceAll('\\', '/')
    .replace('{projectRoot}', project.root || '.')
    .replace('{workspaceRoot}', '.')
    .replace('{projectName}', project.name);
  const normal = posix.normalize(path).replace(/\/$/, '');
  return normal === '.' ? '' : normal;
}

export function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((entry): entry is string => typeof entry === 'string') : [];
}

export function isStringRecord(value: unknown): value is Record<string, string> {
  return (
    typeof value === 'object' && value !== null && Object.values(value).every((entry) => typeof entry === 'string')
  );
}

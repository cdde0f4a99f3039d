import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type {
  CreateDependencies,
  CreateNodes,
  CreateNodesContext,
  CreateNodesResultArray,
  DependencyType,
  RawProjectGraphDependency,
  Tree,
} from '@nx/devkit';
import { edgesOf } from '../go/closure';
import { GoTree, isWithin } from '../go/packages';
import { findProjects, type StatedProject } from './projects';
import { type PluginOptions, targetsOf } from './targets';

export type { PluginOptions } from './targets';

export const name = 'slim-go';

/** Files that say what the Go projects are; everything else is opened by name. */
const graphFiles = [
  '**/*.go',
  '**/go.mod',
  '**/go.work',
  '**/vendor/modules.txt',
  '**/project.json',
  '**/package.json',
];

/**
 * Go projects and their targets, from the sources alone: no Go needed. The glob names go.mod only, for a deleted file
 * that matches a plugin's glob makes `nx affected` select every task.
 */
export const createNodes: CreateNodes<PluginOptions> = [
  '**/go.mod',
  async (moduleFiles, options, context) => {
    const workspace = await readWorkspace(context.workspaceRoot);
    lastWorkspace = workspace;
    const { tree, stated, packageNames, readText } = workspace;
    const warnings = new Set<string>();
    const projects = findProjects(tree, stated, packageNames, basename(context.workspaceRoot));
    const results = moduleFiles.map((file): CreateNodesResultArray[number] => {
      const dir = file.includes('/') ? file.slice(0, file.lastIndexOf('/')) : '';
      const own = projects.filter(({ module }) => module.dir === dir);
      return [
        file,
        {
          projects: Object.fromEntries(
            own.map((project) => [
              project.root || '.',
              {
                root: project.root || '.',
                name: project.name,
                projectType: project.main === undefined ? 'library' : 'application',
                targets: targetsOf(project, {
                  tree,
                  options: options ?? {},
                  nxJson: context.nxJsonConfiguration,
                  readText,
                  warn: (message) => warnings.add(message),
                }),
                metadata: { technologies: ['go'] },
              },
            ]),
          ),
        },
      ];
    });
    // On standard error, so that `nx show --json` stays JSON.
    for (const warning of new Set([...tree.warnings, ...warnings])) console.warn(`slim-go: ${warning}`);
    return results;
  },
];

/** @alias The name under which Nx 22 looks first. */
export const createNodesV2 = createNodes;

/** Edges between projects: every import of one's package by another's file, tests included. */
export const createDependencies: CreateDependencies<PluginOptions> = async (_options, context) => {
  if (lastWorkspace?.root !== context.workspaceRoot) lastWorkspace = await readWorkspace(context.workspaceRoot);
  const { tree } = lastWorkspace;
  const owners = Object.entries(context.projects).map(([project, { root }]) => ({
    project,
    root: root === '.' ? '' : root,
  }));
  const byRoot = new Map(owners.map(({ project, root }) => [root, project]));
  const ownerOf = (dir: string): string | undefined => {
    for (let folder = dir; ; folder = folder.includes('/') ? folder.slice(0, folder.lastIndexOf('/')) : '') {
      const owner = byRoot.get(folder);
      if (owner !== undefined || folder === '') return owner;
    }
  };
  const edges = new Map<string, RawProjectGraphDependency>();
  for (const module of tree.modules.values()) {
    if (!owners.some(({ root }) => isWithin(module.dir, root) || isWithin(root, module.dir))) continue;
    for (const dir of tree.packageDirs(module)) {
      const source = ownerOf(dir);
      const found = tree.package(dir);
      if (source === undefined || !found) continue;
      for (const { sourceFile, targetDir } of edgesOf(tree, found, module)) {
        const target = ownerOf(targetDir);
        if (target === undefined || target === source) continue;
        edges.set(`${sourceFile}\0${target}`, { source, target, sourceFile, type: 'static' as DependencyType.static });
      }
    }
  }
  return [...edges.values()];
};

interface Workspace {
  readonly root: string;
  readonly tree: GoTree;
  readonly stated: ReadonlyMap<string, StatedProject>;
  readonly packageNames: ReadonlyMap<string, string>;
  readonly readText: (file: string) => string | undefined;
}

/** Handed from createNodes to the createDependencies of the same graph computation, which Nx always runs after it. */
let lastWorkspace: Workspace | undefined;

async function readWorkspace(root: CreateNodesContext['workspaceRoot']): Promise<Workspace> {
  const read = (file: string): Buffer | undefined => {
    try {
      return readFileSync(join(root, file));
    } catch {
      return undefined;
    }
  };
  const readText = (file: string) => read(file)?.toString('utf8');
  // Nx's own list of files honours .gitignore; it is asked through the public function, which takes a tree.
  const { globAsync } = require('@nx/devkit') as typeof import('@nx/devkit');
  const files = (await globAsync({ root, listChanges: () => [] } as unknown as Tree, graphFiles)).map((file) =>
    file.replaceAll('\\', '/'),
  );
  const stated = new Map<string, StatedProject>();
  const packageNames = new Map<string, string>();
  for (const file of files) {
    const [, dir = '', kind] = /^(?:(.*)\/)?(project|package)\.json$/.exec(file) ?? [];
    if (kind === undefined) continue;
    const json = parseJson(readText(file));
    if (json === undefined) continue;
    if (kind === 'project') stated.set(dir, { ...(stated.get(dir) ?? {}), ...json });
    else if (isObject(json.nx)) {
      // A package.json with "nx" states targets as a project.json does, which wins.
      stated.set(dir, {
        ...(typeof json.name === 'string' ? { name: json.name } : {}),
        ...json.nx,
        ...stated.get(dir),
      });
    } else if (typeof json.name === 'string' && dir !== '') packageNames.set(dir, json.name);
  }
  return { root, tree: new GoTree({ files, read }), stated, packageNames, readText };
}

function parseJson(text: string | undefined): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text ?? '');
    return isObject(value) ? value : undefined;
  } catch {
    // Nx names the file itself, or it holds comments and no name of ours.
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

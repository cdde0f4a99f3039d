import { readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import type {
  CreateDependencies,
  CreateNodes,
  CreateNodesContext,
  CreateNodesResultArray,
  DependencyType,
  ProjectGraphExternalNode,
  RawProjectGraphDependency,
  Tree,
} from '@nx/devkit';
import { edgesOf } from '../go/closure';
import { type ExternalModule, externalEdgesOf, externalModules } from '../go/external';
import { GoTree, type Module, type ModuleContext } from '../go/packages';
import { compareVersions } from '../go/version';
import { HeaderCache } from './header-cache';
import { findProjects, type GoProject, groupBy, type StatedProject } from './projects';
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
    const { tree, projects, readText } = workspace;
    const warnings = new Set<string>();
    const { NX_VERSION } = require('@nx/devkit') as typeof import('@nx/devkit');
    const jsonInputs = Number.parseInt(NX_VERSION, 10) >= 24;
    const nodes = [...externalNodes(workspace).values()];
    const byModule = groupBy(projects, ({ module }) => module.dir);
    const results = moduleFiles.map((file, index): CreateNodesResultArray[number] => {
      const own = byModule.get(file.slice(0, Math.max(file.lastIndexOf('/'), 0))) ?? [];
      return [
        file,
        {
          // Once for all: a node is of the repository, not of one of its go.mod files.
          ...(index === 0 ? { externalNodes: Object.fromEntries(nodes.map((node) => [node.name, node])) } : {}),
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
                  jsonInputs,
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

/** Edges between projects, and to third-party modules: every import of one's package by another's file, tests included. */
export const createDependencies: CreateDependencies<PluginOptions> = async (_options, context) => {
  if (lastWorkspace?.root !== context.workspaceRoot) lastWorkspace = await readWorkspace(context.workspaceRoot);
  const { tree } = lastWorkspace;
  const byRoot = new Map(Object.entries(context.projects).map(([name, { root }]) => [root === '.' ? '' : root, name]));
  const ownerOf = (dir: string): string | undefined => {
    for (let folder = dir; ; folder = folder.includes('/') ? folder.slice(0, folder.lastIndexOf('/')) : '') {
      const owner = byRoot.get(folder);
      if (owner !== undefined || folder === '') return owner;
    }
  };
  const external = externalNodes(lastWorkspace);
  const edges = new Map<string, RawProjectGraphDependency>();
  const add = (source: string, target: string, sourceFile: string): void => {
    edges.set(`${sourceFile}\0${target}`, { source, target, sourceFile, type: 'static' as DependencyType.static });
  };
  const selected = new Map<ModuleContext, ReadonlyMap<string, ExternalModule>>();
  for (const module of modulesOf(lastWorkspace)) {
    const moduleContext = tree.context(module);
    const modules = selected.get(moduleContext) ?? externalModules(moduleContext);
    selected.set(moduleContext, modules);
    for (const dir of tree.packageDirs(module)) {
      const source = ownerOf(dir);
      const found = tree.package(dir);
      if (source === undefined || !found) continue;
      for (const { sourceFile, targetDir } of edgesOf(tree, found, module)) {
        const target = ownerOf(targetDir);
        if (target !== undefined && target !== source) add(source, target, sourceFile);
      }
      for (const edge of externalEdgesOf(tree, found, module, modules)) {
        const target = external.get(nodeKey(edge.module))?.name;
        if (target !== undefined && context.externalNodes?.[target]) add(source, target, edge.sourceFile);
      }
    }
  }
  // By now every file of every project was looked at.
  lastWorkspace.headers.save();
  return [...edges.values()];
};

/**
 * The graph's nodes for third-party modules, by module path and version. `go:<module path>` is the highest version in the
 * repository; where another of its modules takes another one, that is `go:<module path>@<version>`, as npm's are named.
 */
function externalNodes(workspace: Workspace): ReadonlyMap<string, ProjectGraphExternalNode> {
  const { tree } = workspace;
  const contexts = new Set(modulesOf(workspace).map((module) => tree.context(module)));
  const found = [...contexts]
    .flatMap((context) => [...externalModules(context).values()])
    .sort((a, b) => compareVersions(b.version, a.version));
  const named = new Set<string>();
  const nodes = new Map<string, ProjectGraphExternalNode>();
  for (const module of found) {
    const { path, version } = module;
    if (nodes.has(nodeKey(module))) continue;
    const name = named.has(path) ? `go:${path}@${version}` : `go:${path}`;
    named.add(path);
    nodes.set(nodeKey(module), { type: 'go', name, data: { packageName: path, version } });
  }
  return nodes;
}

/** Those that have projects: a go.mod in a testdata folder has none. */
function modulesOf({ projects }: Workspace): readonly Module[] {
  return [...new Set(projects.map(({ module }) => module))];
}

function nodeKey({ path, version }: ExternalModule): string {
  return `${path}@${version}`;
}

interface Workspace {
  readonly root: string;
  readonly tree: GoTree;
  readonly headers: HeaderCache;
  readonly projects: readonly GoProject[];
  readonly readText: (file: string) => string | undefined;
}

/** Handed from createNodes to the createDependencies of the same graph computation, which Nx always runs after it. */
let lastWorkspace: Workspace | undefined;

async function readWorkspace(root: CreateNodesContext['workspaceRoot']): Promise<Workspace> {
  const read = (file: string): Buffer | undefined => {
    const path = join(root, file);
    // Most that is asked for is not there, and an exception costs ten times as much as this question.
    if (!statSync(path, { throwIfNoEntry: false })?.isFile()) return undefined;
    try {
      return readFileSync(path);
    } catch {
      return undefined;
    }
  };
  const texts = new Map<string, string | undefined>();
  const readText = (file: string) => {
    if (!texts.has(file)) texts.set(file, read(file)?.toString('utf8'));
    return texts.get(file);
  };
  // Nx's own list of files honours .gitignore; it is asked through the public function, which takes a tree.
  const { cacheDir, globAsync } = require('@nx/devkit') as typeof import('@nx/devkit');
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
  const headers = new HeaderCache(root, join(cacheDir, 'slim-go', 'headers.json'));
  const tree = new GoTree({ files, read, scan: (file) => headers.scan(file) });
  return { root, tree, headers, projects: findProjects(tree, stated, packageNames, basename(root)), readText };
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

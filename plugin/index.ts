import { createHash, randomUUID } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type * as Devkit from '@nx/devkit';
import type {
  CreateDependencies,
  CreateDependenciesContext,
  CreateNodes,
  CreateNodesContext,
  CreateNodesResultArray,
  ProjectGraphExternalNode,
  RawProjectGraphDependency,
  Tree,
} from '@nx/devkit';
import { edgesOf } from '../go/closure';
import { type ExternalModule, externalEdgesOf, externalModules } from '../go/external';
import { GoTree, type Module, type ModuleContext } from '../go/packages';
import { compareVersions } from '../go/version';
import { hostPlatform } from '../platform';
import { edge, type KeptGraph, readGraph, writeGraph } from './graph-cache';
import { findProjects, type GoProject, groupBy, type StatedProject } from './projects';
import { SourceCache } from './source-cache';
import type { PluginOptions } from './sources';
import { targetsOf } from './targets';

export type { PluginOptions } from './sources';

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
    const { workspaceRoot: root } = context;
    const { version: nxVersion } = require('nx/package.json') as { version: string };
    const files = await listFiles(root);
    const key = digestOf([
      root,
      nxVersion,
      hostPlatform(),
      options ?? {},
      context.nxJsonConfiguration.targetDefaults ?? {},
      moduleFiles,
      files,
    ]);
    const sources = new SourceCache(root, dataFile(root, 'sources'), codeVersion());
    const kept = readGraph(dataFile(root, 'graph'), sources.id, key);
    if (kept && sources.isUnchanged()) {
      computation = {
        root,
        sources,
        key,
        kept,
        nodes: kept.nodes,
        workspace: () => readWorkspace(root, files, sources),
      };
      return JSON.parse(kept.nodes);
    }
    const workspace = readWorkspace(root, files, sources);
    const nodes = nodesOf(workspace, moduleFiles, options ?? {}, context, Number.parseInt(nxVersion, 10));
    // Warnings are for every command, not only for the first. Nx may change the nodes before the edges are asked for.
    const made = workspace.warnings.size === 0 ? JSON.stringify(nodes) : undefined;
    computation = { root, sources, key, nodes: made, workspace: () => workspace };
    return nodes;
  },
];

/** @alias The name under which Nx 22 looks first. */
export const createNodesV2 = createNodes;

/** Edges between projects, and to third-party modules: every import of one's package by another's file, tests included. */
export const createDependencies: CreateDependencies<PluginOptions> = async (_options, context) => {
  if (computation?.root !== context.workspaceRoot) throw new Error('createNodes comes first');
  const { sources, key, kept, nodes, workspace } = computation;
  const owners = digestOf([
    Object.entries(context.projects).map(([name, { root }]) => [name, root]),
    Object.keys(context.externalNodes ?? {}).filter((name) => name.startsWith('go:')),
  ]);
  if (kept?.owners === owners) {
    sources.save(kept.id);
    return kept.edges();
  }
  const edges = edgesBetween(workspace(), context);
  const id = nodes === undefined ? undefined : randomUUID();
  // By now every file of every project was looked at.
  sources.save(id);
  if (id !== undefined)
    writeGraph(dataFile(computation.root, 'graph'), { id, key, owners, nodes: nodes!, edges: () => edges });
  return edges;
};

/** The files of `graphFiles` in Nx's own list, which honours .gitignore. Its function takes a tree. */
async function listFiles(root: string): Promise<string[]> {
  const listed = await nxExports().globAsync({ root, listChanges: () => [] } as unknown as Tree, graphFiles);
  return listed.map((file) => file.replaceAll('\\', '/'));
}

/**
 * What @nx/devkit passes on from Nx, where a process of Nx has most of it already: @nx/devkit itself takes 0.1 s more, of
 * every command without the daemon, to load what generators need.
 */
function nxExports(): Pick<typeof Devkit, 'globAsync'> {
  try {
    return require('nx/src/devkit-exports') as typeof Devkit;
  } catch {
    return require('@nx/devkit') as typeof Devkit;
  }
}

function nodesOf(
  workspace: Workspace,
  moduleFiles: readonly string[],
  options: PluginOptions,
  { nxJsonConfiguration: nxJson, workspaceRoot }: CreateNodesContext,
  nxMajor: number,
): CreateNodesResultArray {
  const { tree, projects, readText, warnings } = workspace;
  const external = [...externalNodes(workspace).values()];
  const byModule = groupBy(projects, ({ module }) => module.dir);
  const nodes = moduleFiles.map((file, index): CreateNodesResultArray[number] => {
    const own = byModule.get(file.slice(0, Math.max(file.lastIndexOf('/'), 0))) ?? [];
    return [
      file,
      {
        // Once for all: a node is of the repository, not of one of its go.mod files.
        ...(index === 0 ? { externalNodes: Object.fromEntries(external.map((node) => [node.name, node])) } : {}),
        projects: Object.fromEntries(
          own.map((project) => [
            project.root || '.',
            {
              root: project.root || '.',
              name: project.name,
              projectType: project.main === undefined ? 'library' : 'application',
              targets: targetsOf(project, {
                workspaceRoot,
                tree,
                options,
                nxJson,
                readText,
                warn: (message) => warnings.add(message),
                nxMajor,
              }),
              metadata: { technologies: ['go'] },
            },
          ]),
        ),
      },
    ];
  });
  for (const warning of tree.warnings) warnings.add(warning);
  // On standard error, so that `nx show --json` stays JSON.
  for (const warning of warnings) console.warn(`slim-go: ${warning}`);
  return nodes;
}

function edgesBetween(workspace: Workspace, context: CreateDependenciesContext): RawProjectGraphDependency[] {
  const { tree } = workspace;
  const byRoot = new Map(Object.entries(context.projects).map(([name, { root }]) => [root === '.' ? '' : root, name]));
  const ownerOf = (dir: string): string | undefined => {
    for (let folder = dir; ; folder = folder.includes('/') ? folder.slice(0, folder.lastIndexOf('/')) : '') {
      const owner = byRoot.get(folder);
      if (owner !== undefined || folder === '') return owner;
    }
  };
  const external = externalNodes(workspace);
  const edges = new Map<string, RawProjectGraphDependency>();
  const add = (source: string, target: string, sourceFile: string): void => {
    edges.set(`${sourceFile}\0${target}`, edge([source, target, sourceFile]));
  };
  const selected = new Map<ModuleContext, ReadonlyMap<string, ExternalModule>>();
  for (const module of modulesOf(workspace)) {
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
  return [...edges.values()];
}

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

export interface Workspace {
  readonly tree: GoTree;
  readonly projects: readonly GoProject[];
  readonly readText: (file: string) => string | undefined;
  /** What was said on standard error. */
  readonly warnings: Set<string>;
}

/** Handed from createNodes to the createDependencies of the same graph computation, which Nx always runs after it. */
let computation:
  | {
      readonly root: string;
      readonly sources: SourceCache;
      readonly key: string;
      readonly kept?: KeptGraph;
      /** JSON; undefined where the graph is not to be kept. */
      readonly nodes: string | undefined;
      readonly workspace: () => Workspace;
    }
  | undefined;

/**
 * The Go of a workspace.
 * @param files that say what there is, relative to `root`
 */
export function readWorkspace(
  root: string,
  files: readonly string[],
  sources: Pick<SourceCache, 'text' | 'header'>,
): Workspace {
  const readText = (file: string) => sources.text(file);
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
  const tree = new GoTree({
    files,
    read: (file) => Buffer.from(readText(file) ?? ''),
    scan: (file) => sources.header(file),
  });
  return { tree, projects: findProjects(tree, stated, packageNames, basename(root)), readText, warnings: new Set() };
}

/**
 * Where Nx keeps its own graph of this checkout. Its `cacheDir` is shared by all checkouts of a repository since Nx 24.
 * https://nx.dev/docs/reference/environment-variables
 */
function dataFile(root: string, name: string): string {
  const folder = process.env.NX_WORKSPACE_DATA_DIRECTORY ?? join('.nx', 'workspace-data');
  return resolve(root, folder, 'slim-go', name);
}

/** Another version of this code may make another graph of the same files; a build of it in place has another time. */
function codeVersion(): string {
  let folder = __dirname;
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return `${require(join(folder, 'package.json')).version} ${statSync(__filename).mtimeMs}`;
}

function digestOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex');
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

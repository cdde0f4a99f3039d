import type { DependencyType, RawProjectGraphDependency } from '@nx/devkit';
import { readCache, writeCache } from './source-cache';

/** What createNodes and createDependencies gave, for the next command to give again. */
export interface KeptGraph {
  /** Also of the SourceCache that it was made from. */
  readonly id: string;
  /** Everything it was made from that is no file's content. */
  readonly key: string;
  /** What the edges were made from besides: names and folders of all projects, other plugins' too. */
  readonly owners: string;
  /** JSON of createNodes' result. */
  readonly nodes: string;
  readonly edges: () => RawProjectGraphDependency[];
}

/** The kept graph with this id and key, if it is there. */
export function readGraph(file: string, id: string | undefined, key: string): KeptGraph | undefined {
  try {
    const [head, owners, nodes, edges] = readCache(file).split('\n') as [string, string, string, string];
    if (head !== JSON.stringify([id, key])) return undefined;
    return {
      id: id!,
      key,
      owners,
      nodes,
      edges: () => (JSON.parse(edges) as [string, string, string][]).map(edge),
    };
  } catch {
    // None yet, or one that was cut off.
    return undefined;
  }
}

export function edge([source, target, sourceFile]: readonly [string, string, string]): RawProjectGraphDependency {
  return { source, target, sourceFile, type: 'static' as DependencyType.static };
}

export function writeGraph(file: string, { id, key, owners, nodes, edges }: KeptGraph): void {
  const triples = edges().map((edge) => [edge.source, edge.target, 'sourceFile' in edge ? edge.sourceFile : '']);
  writeCache(file, [JSON.stringify([id, key]), owners, nodes, JSON.stringify(triples)].join('\n'));
}

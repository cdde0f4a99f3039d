/** The public API: what Nx loads as the plugin, and the types of what its targets write. */
export type { ImageRecord, PlatformRecord } from './image/record';
export { createDependencies, createNodes, createNodesV2, name, type PluginOptions } from './plugin';

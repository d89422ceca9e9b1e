process UNISONO_PREDICT {
    tag "$meta.id"
    label 'process_medium'

    conda "${moduleDir}/environment.yml"
    container "unisono:0.1.0"

    input:
    tuple val(meta), path(query)
    tuple val(meta2), path(model)
    val source
    val target

    output:
    tuple val(meta), path("${prefix}.h5ad"), emit: h5ad
    tuple val("${task.process}"), val('unisono'), eval("unisono --version | sed 's/unisono //'"), topic: versions, emit: versions_unisono

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def which = model ?: task.ext.model ?: 'human-blood-cite'
    prefix = task.ext.prefix ?: "${meta.id}"
    if ("${prefix}.h5ad" == "${query}") error "Input and output have one name: set task.ext.prefix"
    """
    export OMP_NUM_THREADS=${task.cpus}
    export MPLCONFIGDIR=./tmp

    unisono \\
        predict \\
        ${which} \\
        ${query} \\
        --from ${source} \\
        --to ${target} \\
        ${args} \\
        -o ${prefix}.h5ad
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    touch ${prefix}.h5ad
    """
}

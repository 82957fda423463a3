// SPDX-License-Identifier: Apache-2.0

package export

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"mllb/mlp"
)

// What an ONNX file says of itself: IR version 7 and operator set 13 are those
// of ONNX 1.8 (2020), which every runtime in use reads.
const (
	onnxIR    = 7
	onnxOpset = 13
)

// Numbers of fields and of enumerators in onnx.proto.
const (
	modelIR, modelProducer, modelDoc, modelGraph, modelOpset, modelProps = 1, 2, 6, 7, 8, 14

	graphNode, graphName, graphInitializer, graphInput, graphOutput = 1, 2, 5, 11, 12

	nodeInput, nodeOutput, nodeName, nodeOp, nodeAttribute = 1, 2, 3, 4, 5

	attributeName, attributeInt, attributeType = 1, 3, 20

	tensorDims, tensorType, tensorName, tensorRaw = 1, 2, 8, 9

	valueName, valueType, valueDoc        = 1, 2, 3
	typeTensor                            = 1
	typeElement, typeShape                = 1, 2
	shapeDim                              = 1
	dimValue, dimParam                    = 1, 2
	opsetVersion                          = 2
	propKey, propValue                    = 1, 2
	enumFloat                      uint64 = 1 // TensorProto.FLOAT
	enumInt                        uint64 = 2 // AttributeProto.INT
)

// message is a protobuf message under construction.
type message []byte

func (m message) text(field protowire.Number, s string) message {
	return protowire.AppendString(protowire.AppendTag(m, field, protowire.BytesType), s)
}

func (m message) bytes(field protowire.Number, b []byte) message {
	return protowire.AppendBytes(protowire.AppendTag(m, field, protowire.BytesType), b)
}

func (m message) number(field protowire.Number, x uint64) message {
	return protowire.AppendVarint(protowire.AppendTag(m, field, protowire.VarintType), x)
}

// ONNX writes the network in floating point: input "features" [N, inputs] as
// features.Set.Floats gives them, outputs "logit" and "probability" [N, 1]. The
// answer is "migrate" where the probability is at least metadata "threshold".
func ONNX(w io.Writer, m *mlp.Model) error {
	if err := m.Validate(); err != nil {
		return err
	}
	inputs, hidden := len(m.Set.Features), m.Hidden()
	graph := message{}.
		bytes(graphNode, node("Gemm", "features w1 b1", "sums").bytes(nodeAttribute, transposed)).
		bytes(graphNode, node("Relu", "sums", "hidden")).
		bytes(graphNode, node("Gemm", "hidden w2 b2", "logit").bytes(nodeAttribute, transposed)).
		bytes(graphNode, node("Sigmoid", "logit", "probability")).
		text(graphName, "mllb").
		bytes(graphInitializer, tensor("w1", m.Weights[0], hidden, inputs)).
		bytes(graphInitializer, tensor("b1", m.Biases[:1], hidden)).
		bytes(graphInitializer, tensor("w2", m.Weights[1], 1, hidden)).
		bytes(graphInitializer, tensor("b2", m.Biases[1:], 1)).
		bytes(graphInput, value("features", inputs, strings.Join(m.Set.Names(), " "))).
		bytes(graphOutput, value("logit", 1, "migrate, before the sigmoid")).
		bytes(graphOutput, value("probability", 1, "of migrate"))
	model := message{}.
		number(modelIR, onnxIR).
		text(modelProducer, "mllb").
		text(modelDoc, "Whether the Linux scheduler may move a task. "+m.Provenance.Source).
		bytes(modelGraph, graph).
		bytes(modelOpset, message{}.number(opsetVersion, onnxOpset))
	for _, p := range [][2]string{
		{"feature_set", m.Set.Name},
		{"features", strings.Join(m.Set.Names(), " ")},
		{"threshold", strconv.FormatFloat(m.Threshold, 'g', -1, 64)},
		{"dataset", m.Provenance.Dataset},
		{"kernel", m.Provenance.Kernel},
	} {
		if p[1] != "" {
			model = model.bytes(modelProps, message{}.text(propKey, p[0]).text(propValue, p[1]))
		}
	}
	if _, err := w.Write(model); err != nil {
		return fmt.Errorf("onnx: %w", err)
	}
	return nil
}

// transposed says that a Gemm's weights are by neuron, then input.
var transposed = message{}.text(attributeName, "transB").number(attributeInt, 1).number(attributeType, enumInt)

func node(op, inputs, output string) message {
	var m message
	for _, in := range strings.Fields(inputs) {
		m = m.text(nodeInput, in)
	}
	return m.text(nodeOutput, output).text(nodeName, output).text(nodeOp, op)
}

func tensor(name string, rows [][]float64, dims ...int) message {
	var m message
	for _, d := range dims {
		m = m.number(tensorDims, uint64(d))
	}
	var raw []byte
	for _, row := range rows {
		for _, x := range row {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(x)))
		}
	}
	return m.number(tensorType, enumFloat).text(tensorName, name).bytes(tensorRaw, raw)
}

// value describes a matrix of any number of rows.
func value(name string, columns int, doc string) message {
	shape := message{}.
		bytes(shapeDim, message{}.text(dimParam, "N")).
		bytes(shapeDim, message{}.number(dimValue, uint64(columns)))
	kind := message{}.bytes(typeTensor, message{}.number(typeElement, enumFloat).bytes(typeShape, shape))
	return message{}.text(valueName, name).bytes(valueType, kind).text(valueDoc, doc)
}
